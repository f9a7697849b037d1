"""Which files are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
from check_helpers import check

from langchain_cerebras_ext._check import _source
from langchain_cerebras_ext._check._kinds import kind_of

CODE = 'Cerebras("llama3.1-8b")\n'


def put(root: Path, *paths: str, text: str | bytes = CODE) -> None:
    for name in paths:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def seen(root: Path, **options) -> list[str]:
    return [finding.path for finding in check(root, **options).findings]


def test_files_are_looked_at_in_order(tmp_path):
    put(tmp_path, "b.py", "a/z.py", "a/b/c.py", "c.py")
    assert seen(tmp_path) == ["a/b/c.py", "a/z.py", "b.py", "c.py"]


def test_a_gitignore_counts(tmp_path):
    put(tmp_path, "a.py", "out/b.py", "x/out/c.py", "x/d.gen.py")
    put(tmp_path, ".gitignore", text="out/\n*.gen.py\n")
    assert seen(tmp_path) == ["a.py"]
    assert check(tmp_path).skipped == {"ignored": 1}


def test_a_gitignore_counts_below_its_own_directory_only(tmp_path):
    put(tmp_path, "a/x.py", "b/x.py", "a/y/x.py")
    put(tmp_path, "a/.gitignore", text="/x.py\n")
    assert seen(tmp_path) == ["a/y/x.py", "b/x.py"]


def test_an_inner_gitignore_overrules_an_outer_one(tmp_path):
    put(tmp_path, "a/x.py", "b/x.py")
    put(tmp_path, ".gitignore", text="x.py\n")
    put(tmp_path, "a/.gitignore", text="!x.py\n")
    assert seen(tmp_path) == ["a/x.py"]


def test_files_above_count_up_to_the_top_of_the_repository(tmp_path):
    put(tmp_path, "repo/a/x.py", "repo/a/y.py", "repo/a/z.py", "repo/a/w.py")
    put(tmp_path, ".gitignore", text="w.py\n")
    put(tmp_path, "repo/.gitignore", text="x.py\n")
    put(tmp_path, "repo/.git/info/exclude", text="y.py\n")
    assert seen(tmp_path / "repo" / "a") == ["w.py", "z.py"]


def test_gitignore_files_can_be_left_out_of_account(tmp_path):
    put(tmp_path, "a.py")
    put(tmp_path, ".gitignore", text="*\n")
    assert seen(tmp_path) == []
    assert seen(tmp_path, use_ignore_files=False) == ["a.py"]


def test_what_is_excluded_is_not_looked_at(tmp_path):
    put(tmp_path, "a.py", "tests/b.py", "x/tests/c.py", "x/d.py")
    options = {"exclude": ("/tests", "d.py"), "exclude_root": tmp_path}
    assert seen(tmp_path, **options) == ["a.py", "x/tests/c.py"]


def test_a_file_that_is_given_is_looked_at_unless_it_is_excluded(tmp_path):
    put(tmp_path, "a.py")
    put(tmp_path, ".gitignore", text="a.py\n")
    assert seen(tmp_path / "a.py") == ["a.py"]
    options = {"exclude": ("a.py",), "exclude_root": tmp_path}
    assert seen(tmp_path / "a.py", **options) == []


NEVER = [".git", ".venv", "node_modules", "__pycache__", "lib/site-packages", ".tox"]


@pytest.mark.parametrize("name", NEVER)
def test_directories_of_tools_are_left_out(tmp_path, name):
    put(tmp_path, f"{name}/a.py")
    assert seen(tmp_path) == []


def test_a_virtual_environment_is_known_whatever_its_name(tmp_path):
    put(tmp_path, "mine/a.py")
    put(tmp_path, "mine/pyvenv.cfg", text="")
    assert seen(tmp_path) == []


def test_a_directory_of_a_tool_is_looked_at_if_it_is_given(tmp_path):
    put(tmp_path, "node_modules/a.js", text="cerebras('llama3.1-8b')")
    assert seen(tmp_path / "node_modules") == ["a.js"]


def test_links_are_not_followed_and_nothing_is_seen_twice(tmp_path):
    put(tmp_path, "a/x.py")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "y.py").symlink_to(tmp_path / "a" / "x.py")
    (tmp_path / "broken.py").symlink_to(tmp_path / "nothing")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    assert seen(tmp_path) == ["a/x.py"]


def test_paths_that_overlap_are_looked_at_once(tmp_path):
    from check_helpers import TODAY

    from langchain_cerebras_ext._check import ScanOptions, scan

    put(tmp_path, "a/x.py")
    paths = [tmp_path, tmp_path / "a", tmp_path / "a" / "x.py"]
    report = scan(paths, ScanOptions(on=TODAY), cwd=tmp_path)
    assert report.files == 1


def test_paths_outside_of_the_working_directory_are_named_in_full(tmp_path):
    from check_helpers import TODAY

    from langchain_cerebras_ext._check import ScanOptions, scan

    put(tmp_path, "cerebras/a.json", text='{"model": "llama3.1-8b"}')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    report = scan([tmp_path], ScanOptions(on=TODAY), cwd=elsewhere)
    assert [one.path for one in report.findings] == [f"{tmp_path}/cerebras/a.json"]


SKIPPED = {
    "binary": ("a.py", b"\0" + CODE.encode(), "binary"),
    "huge": ("a.py", CODE.encode() + b"#" * _source.MAX_BYTES, "huge"),
    "minified": ("a.js", b"cerebras('llama3.1-8b');" * 3000, "minified"),
    "minified_tail": ("a.js", b"//x\n" * 50 + b"c('llama3.1-8b');" * 9000, "minified"),
    "other": ("notes", b"llama3.1-8b", "other kind"),
}


@pytest.mark.parametrize(
    ("name", "data", "reason"), SKIPPED.values(), ids=SKIPPED.keys()
)
def test_what_cannot_be_read_with_profit_is_skipped_and_counted(
    tmp_path, name, data, reason
):
    put(tmp_path, name, text=data)
    report = check(tmp_path)
    assert report.skipped == {reason: 1}
    assert report.files == 0
    assert report.findings == ()


def test_files_of_other_kinds_are_not_even_opened(tmp_path):
    put(tmp_path, "a.png", "b.go", "c.txt", text=b"\x89")
    report = check(tmp_path)
    assert (report.files, report.skipped) == (0, {})


def test_a_directory_that_cannot_be_opened_is_counted(tmp_path, monkeypatch):
    from langchain_cerebras_ext._check import _walk

    put(tmp_path, "a/x.py", "b.py")
    scandir = _walk.os.scandir

    def refuse(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(_walk.os, "scandir", refuse)
    report = check(tmp_path)
    assert [one.path for one in report.findings] == ["b.py"]
    assert report.skipped == {"no access": 1}


def test_a_file_that_cannot_be_opened_is_told(tmp_path, monkeypatch):
    put(tmp_path, "a.py")

    read = Path.read_bytes

    def refuse(self: Path) -> bytes:
        if self.name == "a.py":
            raise PermissionError(13, "Permission denied")
        return read(self)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        (one,) = check(tmp_path).unreadable
    assert (one.path, one.reason, one.looked_through) == (
        "a.py",
        "Permission denied",
        False,
    )


KINDS = {
    "a.py": "python",
    "A.PY": "python",
    "a.ipynb": "notebook",
    ".env": "env",
    ".env.local": "env",
    "prod.env": "env",
    "prod.env.example": "env",
    ".env.ts": "typescript",
    "env.sample": "env",
    "config.yaml.example": "yaml",
    "config.yaml.j2.example": "yaml",
    "Dockerfile": "docker",
    "Dockerfile.prod": "docker",
    "Makefile": "lines",
    ".aider.conf.yml": "yaml",
    "a.d.ts": "typescript",
    "a.mdx": "markdown",
    "a.png": None,
    "a.example": None,
    "envelope": None,
    ".environment": None,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=KINDS.keys())
def test_a_name_tells_the_kind(name, kind):
    assert kind_of(name) == kind
