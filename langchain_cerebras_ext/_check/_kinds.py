"""Which file is of which kind, by its name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final, Literal

Kind = Literal[
    "python",
    "notebook",
    "json",
    "yaml",
    "toml",
    "env",
    "ini",
    "shell",
    "docker",
    "tsx",
    "typescript",
    "markdown",
    "lines",
]
"""`tsx` is JavaScript and TypeScript with JSX; `lines` are settings and commands by
line, with `#` for comments."""

_BY_SUFFIX: Final[dict[str, Kind]] = {
    ".py": "python",
    ".pyi": "python",
    ".pyw": "python",
    ".ipynb": "notebook",
    ".json": "json",
    ".jsonc": "json",
    ".json5": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".code-workspace": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".toml": "toml",
    ".env": "env",
    ".properties": "env",
    ".ini": "ini",
    ".cfg": "ini",
    ".conf": "ini",
    ".sh": "shell",
    ".bash": "shell",
    ".zsh": "shell",
    ".ksh": "shell",
    ".bats": "shell",
    ".dockerfile": "docker",
    ".js": "tsx",
    ".jsx": "tsx",
    ".mjs": "tsx",
    ".cjs": "tsx",
    ".tsx": "tsx",
    ".ts": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".md": "markdown",
    ".mdx": "markdown",
    ".markdown": "markdown",
    ".mk": "lines",
    ".fish": "lines",
}
_BY_NAME: Final[dict[str, Kind]] = {
    "env": "env",
    "dockerfile": "docker",
    "containerfile": "docker",
    ".envrc": "shell",
    ".bashrc": "shell",
    ".bash_profile": "shell",
    ".profile": "shell",
    ".zshrc": "shell",
    ".zshenv": "shell",
    "makefile": "lines",
    "gnumakefile": "lines",
    "justfile": "lines",
    "procfile": "lines",
}
_BY_LANGUAGE: Final[dict[str, Kind]] = {
    "python": "python",
    "python3": "python",
    "py": "python",
    "pycon": "python",
    "json": "json",
    "jsonc": "json",
    "json5": "json",
    "yaml": "yaml",
    "yml": "yaml",
    "toml": "toml",
    "env": "env",
    "dotenv": "env",
    "properties": "env",
    "ini": "ini",
    "cfg": "ini",
    "sh": "shell",
    "bash": "shell",
    "shell": "shell",
    "zsh": "shell",
    "console": "shell",
    "shell-session": "shell",
    "shellsession": "shell",
    "docker": "docker",
    "dockerfile": "docker",
    "js": "tsx",
    "jsx": "tsx",
    "javascript": "tsx",
    "mjs": "tsx",
    "tsx": "tsx",
    "ts": "typescript",
    "typescript": "typescript",
    "fish": "lines",
    "makefile": "lines",
    "make": "lines",
}
_TEMPLATES: Final = {
    ".default", ".dist", ".example", ".j2", ".sample", ".template", ".tmpl", ".tpl",
}  # fmt: skip
_DOTENV: Final = re.compile(r"\.env(?:[._-][\w.-]+)?|[\w-]+\.env\.[\w-]+")
_SHEBANG: Final[tuple[tuple[re.Pattern[bytes], Kind], ...]] = (
    (re.compile(rb"#!.*\bpython[\d.]*(?:\s|$)"), "python"),
    (re.compile(rb"#!.*\b(?:ba|z|k|da)?sh(?:\s|$)"), "shell"),
    (re.compile(rb"#!.*\b(?:node|deno|bun)(?:\s|$)"), "tsx"),
)


def kind_of(path: str) -> Kind | None:
    """Return the kind of a file by its name; `None` if it is none that we read.

    Names as `config.yaml.example` are read as what they are examples of.
    """
    name = PurePosixPath(path).name.lower()
    stem, suffix = _split(name)
    while suffix in _TEMPLATES:
        name = stem
        stem, suffix = _split(name)
    if name.startswith(("dockerfile.", "containerfile.")):
        return "docker"
    known = _BY_NAME.get(name) or _BY_SUFFIX.get(suffix)
    if known is None and _DOTENV.fullmatch(name):
        return "env"
    return known


def kind_of_script(data: bytes) -> Kind | None:
    """Return the kind of a file without a suffix by its first line."""
    first = data[:200].split(b"\n", 1)[0]
    for pattern, kind in _SHEBANG:
        if pattern.match(first):
            return kind
    return None


def kind_of_language(language: str) -> Kind | None:
    """Return the kind of a piece of code by what its fence calls it."""
    return _BY_LANGUAGE.get(language.strip().lower())


def _split(name: str) -> tuple[str, str]:
    """Split the last suffix off; a name that only has a suffix is that suffix."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix) if dot else (name, "")
