"""Which files to look at: those below some paths that nobody wants ignored."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langchain_cerebras_ext._check._kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pathspec import GitIgnoreSpec

# What no project keeps its own code in; `build` and the like are left to `.gitignore`.
_NEVER: Final = frozenset(
    {
        ".bzr", ".direnv", ".eggs", ".git", ".hg", ".hypothesis", ".ipynb_checkpoints",
        ".mypy_cache", ".next", ".nox", ".nuxt", ".pnpm-store", ".pytest_cache",
        ".ruff_cache", ".svn", ".terraform", ".tox", ".venv", ".yarn", "__pycache__",
        "__pypackages__", "bower_components", "node_modules", "site-packages",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """A file to look at.

    Attributes:
        path: Where it is.
        shown: How reports call it: from the working directory, with `/`.
        inner: Its path below what is scanned; its names tell what it is about.
    """

    path: Path
    shown: str
    inner: str


@dataclass(frozen=True)
class Rules:
    """What to leave out.

    Attributes:
        exclude: Patterns as in a `.gitignore`.
        root: The directory that they are relative to.
        use_ignore_files: Whether `.gitignore` files count.
    """

    exclude: tuple[str, ...] = ()
    root: Path | None = None
    use_ignore_files: bool = True
    skipped: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True, slots=True)
class _Ignore:
    """The patterns of one file, and the directory that they are relative to."""

    root: Path
    spec: GitIgnoreSpec

    def decides(self, path: Path, *, is_directory: bool) -> bool | None:
        """Tell whether a path is ignored; `None` where no pattern says."""
        try:
            inner = path.relative_to(self.root).as_posix()
        except ValueError:
            return None
        return self.spec.check_file(f"{inner}/" if is_directory else inner).include


def walk(paths: Iterable[Path], rules: Rules, cwd: Path) -> Iterator[Target]:
    """Yield the files to look at, each once, in order.

    A path that is given is looked at whatever `.gitignore` files say; `exclude`
    counts for it too.

    Args:
        paths: Files and directories.
        rules: What to leave out; what was left out is counted there.
        cwd: The working directory.
    """
    excluded = _excluded(rules)
    seen: set[str] = set()
    for given in paths:
        path = Path(os.path.abspath(cwd / given))  # noqa: PTH100 - links stay links
        if path.is_file():
            found: Iterable[Path] = (
                [] if _is_ignored(path, excluded, is_directory=False) else [path]
            )
        else:
            ignores = _outer_ignores(path) if rules.use_ignore_files else []
            found = _below(path, [*ignores, *excluded], rules)
        real_root, length = os.path.realpath(path), len(str(path))
        for file in found:
            # Links below a directory are not followed, so that its own place tells.
            real = real_root + str(file)[length:]
            if real not in seen:
                seen.add(real)
                yield _target(file, path, cwd)


def _target(file: Path, root: Path, cwd: Path) -> Target:
    try:
        shown = file.relative_to(cwd).as_posix()
    except ValueError:
        inner = file.name if file == root else file.relative_to(root).as_posix()
        return Target(file, file.as_posix(), inner)
    return Target(file, shown, shown)


def _below(directory: Path, ignores: list[_Ignore], rules: Rules) -> Iterator[Path]:
    if rules.use_ignore_files:
        ignores = [*ignores, *_ignores_of(directory / ".gitignore", directory)]
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        rules.skipped["no access"] += 1
        return
    for entry in entries:
        path = directory / entry.name
        if entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name in _NEVER or (path / "pyvenv.cfg").is_file():
                continue
            if not _is_ignored(path, ignores, is_directory=True):
                yield from _below(path, ignores, rules)
        elif entry.is_file() and _may_be_ours(path):
            if _is_ignored(path, ignores, is_directory=False):
                rules.skipped["ignored"] += 1
            else:
                yield path


def _may_be_ours(path: Path) -> bool:
    """Tell whether a file is of a kind that we read; without a suffix it may be."""
    return kind_of(path.name) is not None or "." not in path.name


def _is_ignored(path: Path, ignores: list[_Ignore], *, is_directory: bool) -> bool:
    for ignore in reversed(ignores):
        decided = ignore.decides(path, is_directory=is_directory)
        if decided is not None:
            return decided
    return False


def _excluded(rules: Rules) -> list[_Ignore]:
    if not rules.exclude or rules.root is None:
        return []
    from pathspec import GitIgnoreSpec

    return [_Ignore(rules.root, GitIgnoreSpec.from_lines(rules.exclude))]


def _outer_ignores(directory: Path) -> list[_Ignore]:
    """Return the `.gitignore` files above a directory, up to its repository's top."""
    outer: list[Path] = []
    for parent in (directory, *directory.parents):
        outer.append(parent)
        if (parent / ".git").exists():
            break
    else:
        return []
    top = outer[-1]
    found = _ignores_of(top / ".git" / "info" / "exclude", top)
    for parent in reversed(outer[1:]):
        found += _ignores_of(parent / ".gitignore", parent)
    return found


def _ignores_of(path: Path, root: Path) -> list[_Ignore]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    from pathspec import GitIgnoreSpec

    return [_Ignore(root, GitIgnoreSpec.from_lines(lines))]
