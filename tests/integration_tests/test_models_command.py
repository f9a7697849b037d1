"""`cerebras-ext models` as people, scripts and scheduled jobs use it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from terminals import COMMAND, environment, in_pipes, in_terminal
from wire_server import Request, WireServer, plain

from langchain_cerebras_ext.__main__ import main
from langchain_cerebras_ext.catalog import _cache, _table, get_model
from langchain_cerebras_ext.catalog._cache import cache_file, read_lists
from langchain_cerebras_ext.catalog._checks import table_problems
from langchain_cerebras_ext.catalog._registry import registry
from langchain_cerebras_ext.catalog._table import packaged_table, read_table
from langchain_cerebras_ext.cli.models_refresh import DIFFERS
from langchain_cerebras_ext.simulator import Simulator

ROOT = Path(__file__).parents[2]
DATA = Path(_table.__file__).with_name("models.json")
RECIPE = ROOT / "docs" / "refresh-catalog.md"
# After the packaged data, whenever these are refreshed.
NEXT = packaged_table().checked_on + timedelta(days=10)
LATER = str(NEXT)
ON = ("--on", LATER)
PUBLIC, ACCOUNT = "/public/v1/models", "/v1/models"
KEY = "csk-" + "k1" * 20

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="pseudo-terminals and shells are of POSIX systems"
)

Refresh = Callable[..., tuple[str, str]]


@pytest.fixture(autouse=True)
def fresh_catalog(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    """Give each test a catalog and a cache of its own."""
    monkeypatch.setenv("CEREBRAS_CACHE_DIR", str(tmp_path / "cache"))
    before = dict(vars(registry))
    registry.reload()
    yield
    vars(registry).update(before)


@pytest.fixture
def sim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A simulator; the environment points to it."""
    with Simulator() as running:
        monkeypatch.setenv("CEREBRAS_BASE_URL", running.base_url)
        yield running


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Refresh:
    """Run `cerebras-ext models` in this process; return what it printed."""

    def call(*args: str, code: int = 0) -> tuple[str, str]:
        ended = main(["models", *args])
        shown = capsys.readouterr()
        assert ended == code, shown.err
        return shown.out, shown.err

    return call


def rows_of(sim: Simulator) -> list[dict[str, Any]]:
    """Return the public list as the packaged data have it."""
    from langchain_cerebras_ext.simulator.catalog_views import list_view

    view = list_view(sim.engine.profiles.values(), None, public=True)
    models: list[dict[str, Any]] = json.loads(json.dumps(view["data"]))
    for model in models:  # the simulator's own models can do JSON mode
        model["capabilities"].pop("json_mode", None)
    return models


def answer_with(
    sim: Simulator, models: object, path: str = PUBLIC, times: int | None = None
) -> None:
    body = json.dumps({"object": "list", "data": models})
    sim.reply_raw(body, "application/json", path=path, times=times)


def drifted(sim: Simulator) -> list[dict[str, Any]]:
    """Return a list with a new price, a smaller window, and another model."""
    gpt, qwen = rows_of(sim)
    gpt["pricing"]["prompt"] = "0.0000003"
    gpt["limits"]["max_context_length"] = 65_536
    new = {**qwen, "id": "new-model-1t", "name": "New Model 1T", "created": 1795996800}
    return [gpt, new]


DRIFT = [
    "new new-model-1t listed no yes",
    "new new-model-1t input - 0.99",
    "new new-model-1t output - 1.49",
    "new new-model-1t context_tokens - 131,072",
    "new new-model-1t max_output_tokens - 40,960",
    "gone qwen-3.8-27b listed yes no",
    "price gpt-oss-120b price.input 0.35 0.30",
    "limit gpt-oss-120b context_tokens_paid 131,072 65,536",
]


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


# ----------------------------------------------------------------------------- refresh


def test_what_the_service_says_is_shown_kept_and_used_until_packaged(
    sim: Simulator, run: Refresh
) -> None:
    answer_with(sim, drifted(sim))
    out, err = run("refresh", *ON)
    assert squeezed(out) == ["what model fact packaged live", *DRIFT]
    path = cache_file(sim.root_url)
    assert path is not None
    assert [str(one.on) for one in read_lists(path)] == [LATER]
    assert f"The live list of {LATER} from {sim.root_url}, against the" in err
    assert f"Kept in {path}, until: cerebras-ext models refresh --packaged" in err

    registry.reload()  # as another run does
    out, err = run("list", *ON)
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["gpt-oss-120b", "active"],
        ["new-model-1t", "active"],
    ]
    assert "0.30" in out
    assert f"with the live list of {LATER} from {sim.root_url}." in err
    out, _ = run("show", "qwen-3.8-27b", *ON)
    assert f"is not in the live list of {LATER} any more." in out
    assert f"{LATER}  the live list does not have it [" in out

    out, _ = run("refresh", "--packaged")
    assert out.splitlines()[0] == f"Deleted {path}"
    registry.reload()
    out, err = run("list", *ON)
    assert "qwen-3.8-27b" in out
    assert "live list" not in err


def test_a_run_in_another_process_uses_what_was_kept(
    sim: Simulator, run: Refresh
) -> None:
    answer_with(sim, drifted(sim))
    run("refresh", *ON)
    ended = in_pipes("models", "list", "--json", *ON)
    assert (ended.returncode, ended.stderr) == (0, "")
    told = json.loads(ended.stdout)
    assert told["live_list"] == {"on": LATER, "url": sim.root_url}
    assert [row["id"] for row in told["models"]] == ["gpt-oss-120b", "new-model-1t"]


@pytest.mark.parametrize(
    ("is_drifted", "options", "code"),
    [
        pytest.param(True, (), 0, id="differs"),
        pytest.param(True, ("--exit-code",), DIFFERS, id="differs, and is to tell"),
        pytest.param(False, (), 0, id="the same"),
        pytest.param(False, ("--exit-code",), 0, id="the same, and is to tell"),
    ],
)
@pytest.mark.parametrize(
    "kind", [(), ("--dry-run",), ("--rows",)], ids=["kept", "dry run", "rows"]
)
def test_only_if_asked_a_difference_is_an_exit_code(
    sim: Simulator,
    run: Refresh,
    is_drifted: bool,
    options: tuple[str, ...],
    code: int,
    kind: tuple[str, ...],
) -> None:
    answer_with(sim, drifted(sim) if is_drifted else rows_of(sim))
    out, _ = run("refresh", *kind, *options, *ON, code=code)
    if not is_drifted and not kind:
        assert out == "Nothing differs; gpt-oss-120b, qwen-3.8-27b are served.\n"
    path = cache_file(sim.root_url)
    assert path is not None
    assert path.exists() is (kind == ())


def test_json_has_the_whole_difference_and_where_it_is_kept(
    sim: Simulator, run: Refresh
) -> None:
    answer_with(sim, drifted(sim))
    out, err = run("refresh", "--json", *ON)
    assert err == ""
    told = json.loads(out)
    assert told["differs"] is True
    assert told["gone"] == ["qwen-3.8-27b"]
    assert [row["id"] for row in told["new"]] == ["new-model-1t"]
    assert told["changes"][0] == {
        "model": "gpt-oss-120b",
        "kind": "price",
        "field": "price.input",
        "before": "0.35",
        "after": "0.30",
    }
    assert told["kept"] == str(cache_file(sim.root_url))
    told = json.loads(run("refresh", "--json", "--dry-run", *ON)[0])
    assert told["kept"] is None


def test_a_key_brings_the_accounts_own_models_and_can_be_left_out(
    sim: Simulator, run: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)
    answer_with(sim, [{"id": "gpt-oss-120b"}, {"id": "my-org-glm-5"}], ACCOUNT)
    answer_with(sim, rows_of(sim))
    out, err = run("refresh", "--dry-run", *ON)
    assert out.splitlines()[1:] == [
        "For your key alone: my-org-glm-5",
        "Not for your key: qwen-3.8-27b",
    ]
    assert KEY not in out + err
    out, _ = run("refresh", "--dry-run", "--public-only", *ON)
    assert "your key" not in out
    asked = [one.path for one in sim.requests]
    assert asked == [PUBLIC, ACCOUNT, PUBLIC]


def test_a_list_of_another_server_than_the_environments_is_said_to_be_so(
    run: Refresh,
) -> None:
    with Simulator() as other:
        _, err = run("refresh", "--base-url", other.base_url, *ON)
        told = f"It is used where CEREBRAS_BASE_URL is {other.root_url}, as it is not"
        assert told in err
    assert get_model("gpt-oss-120b").live  # in this process


# ---------------------------------------------------------------------------- failures


def nothing_changed() -> bool:
    folder = Path(os.environ["CEREBRAS_CACHE_DIR"])
    kept = list(folder.rglob("*.json")) if folder.exists() else []
    return kept == [] and not get_model("gpt-oss-120b").live


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        pytest.param(
            401, {"message": f"no: {KEY}"}, "Check CEREBRAS_API_KEY", id="401"
        ),
        pytest.param(404, {}, "Does the address lead to the Cerebras API?", id="404"),
        pytest.param(429, {}, "Try again later.", id="429"),
        pytest.param(503, {"message": "away"}, "answered 503", id="503"),
        pytest.param(200, {"data": []}, "the list has no models", id="no models"),
        pytest.param(200, b"<html>", "what is no list of models", id="html"),
    ],
)
def test_a_failure_is_exit_code_1_changes_nothing_and_hides_the_key(
    run: Refresh,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: Any,
    told: str,
) -> None:
    monkeypatch.setenv("CEREBRAS_API_KEY", KEY)

    def answer(_: Request) -> Iterator[bytes]:
        return iter(plain(body, status))

    with WireServer(answer) as server:
        for options in ((), ("--dry-run",), ("--rows",), ("--json",)):
            out, err = run("refresh", "--base-url", server.url, *options, *ON, code=1)
            assert out == ""
            assert told in err
            assert "The catalog is unchanged." in err
            assert KEY not in err
            assert "Traceback" not in err
            assert ("--public-only" in err) is (status == 401)
    assert nothing_changed()


def test_a_service_that_cannot_be_reached_is_exit_code_1(run: Refresh) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _, err = run("refresh", "--base-url", f"http://127.0.0.1:{port}", *ON, code=1)
    assert "connection refused" in err
    assert nothing_changed()


def test_a_day_before_the_packaged_data_is_refused(
    sim: Simulator, run: Refresh
) -> None:
    _, err = run("refresh", "--on", "2020-01-01", code=2)
    assert "A list of 2020-01-01 cannot be laid over the packaged data" in err
    assert nothing_changed()


# ------------------------------------------------------------------------ data rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A copy of the packaged data."""
    path = tmp_path / "models.json"
    shutil.copy(DATA, path)
    return path


def test_rows_are_printed_ready_for_the_data_file(sim: Simulator, run: Refresh) -> None:
    answer_with(sim, drifted(sim))
    out, err = run("refresh", "--rows", *ON)
    assert err == ""
    told = json.loads(out)
    key = f"public-models-{LATER}"
    assert told["checked_on"] == LATER
    assert told["sources"][key]["url"] == f"{sim.root_url}{PUBLIC}"
    rows = {row["id"]: row for row in told["models"]}
    assert {"gpt-oss-120b", "qwen-3.8-27b", "new-model-1t"} <= set(rows)
    gpt = rows["gpt-oss-120b"]
    assert gpt["prices"][-1]["input"] == "0.30"
    assert gpt["prices"][-1]["valid_from"] == LATER
    assert gpt["prices"][-1]["seen"] == [{"on": LATER, "source": key}]
    assert rows["qwen-3.8-27b"]["status"] == "retired"
    assert rows["new-model-1t"]["sources"]["name"] == [key]
    named = run("refresh", "--rows", "--source", "our-page", *ON)[0]
    assert key not in named
    assert list(json.loads(named)["sources"]) == ["our-page"]


def test_rows_are_written_into_the_file_and_the_rest_stays_as_it_is(
    sim: Simulator, run: Refresh, data: Path
) -> None:
    before = data.read_text(encoding="utf-8")
    data.chmod(0o640)
    answer_with(sim, drifted(sim))
    out, err = run("refresh", "--apply", str(data), *ON)
    assert squeezed(out)[1:] == DRIFT
    assert re.search(rf"Wrote \d+ rows to {re.escape(str(data))}\.", err)
    after = data.read_text(encoding="utf-8")
    table = read_table(after.encode())
    assert table_problems(table) == []
    assert str(table.checked_on) == LATER
    assert str(table.by_name["gpt-oss-120b"].price(NEXT).input) == "0.30"
    assert (
        str(table.by_name["gpt-oss-120b"].price(NEXT - timedelta(days=1)).input)
        == "0.35"
    )
    # Models that the list does not concern are not touched, but for our advice.
    same = set(before.splitlines()) & set(after.splitlines())
    assert len(same) > 0.9 * len(set(before.splitlines()))
    assert list(data.parent.glob("*~")) == []
    if sys.platform != "win32":
        assert stat.S_IMODE(data.stat().st_mode) == 0o640
    assert nothing_changed()
    # Once more, it is not the data any more that the list was compared with.
    _, err = run("refresh", "--apply", str(data), *ON, code=2)
    assert "has other rows than this package's own data" in err
    assert data.read_text(encoding="utf-8") == after


def test_a_file_is_left_alone_where_nothing_differs(
    sim: Simulator, run: Refresh, data: Path
) -> None:
    before = data.read_bytes(), data.stat().st_mtime_ns
    answer_with(sim, rows_of(sim))
    out, err = run("refresh", "--apply", str(data), "--exit-code", *ON)
    assert out.startswith("Nothing differs;")
    assert f"{data} is left as it is." in err
    assert (data.read_bytes(), data.stat().st_mtime_ns) == before


def test_written_rows_are_named_in_json(
    sim: Simulator, run: Refresh, data: Path
) -> None:
    answer_with(sim, drifted(sim))
    told = json.loads(run("refresh", "--apply", str(data), "--json", *ON)[0])
    assert (told["applied"], told["kept"]) == (str(data), None)
    assert {"gpt-oss-120b", "qwen-3.8-27b", "new-model-1t"} <= set(told["rows"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("no json", "is no models.json of this package", id="no json"),
        pytest.param("{}", "is no models.json of this package", id="no table"),
        pytest.param("\udcff", "is no models.json of this package", id="no text"),
    ],
)
def test_a_file_that_is_not_the_data_is_refused_before_anybody_is_asked(
    sim: Simulator, run: Refresh, data: Path, text: str, told: str
) -> None:
    data.write_bytes(text.encode("utf-8", "surrogateescape"))
    before = data.read_bytes()
    _, err = run("refresh", "--apply", str(data), *ON, code=2)
    assert told in err
    assert data.read_bytes() == before
    assert list(sim.requests) == []


def test_an_older_list_does_not_overwrite_newer_data(
    sim: Simulator, run: Refresh, data: Path
) -> None:
    before = data.read_bytes()
    answer_with(sim, drifted(sim))
    _, err = run("refresh", "--apply", str(data), "--on", "2026-01-01", code=2)
    assert "A list of 2026-01-01 is older than" in err
    assert data.read_bytes() == before


def test_a_list_that_would_break_the_data_is_not_written(
    sim: Simulator, run: Refresh, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_cerebras_ext.cli import models_refresh

    monkeypatch.setattr(models_refresh, "table_problems", lambda _: ["x: is wrong"])
    before = data.read_bytes()
    answer_with(sim, drifted(sim))
    _, err = run("refresh", "--apply", str(data), *ON, code=2)
    assert "is left as it is; it would be wrong: x: is wrong." in err
    assert data.read_bytes() == before


def test_a_file_that_cannot_be_written_is_left_as_it_is(
    sim: Simulator, run: Refresh, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = data.read_bytes()
    answer_with(sim, drifted(sim))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        _, err = run("refresh", "--apply", str(data), *ON, code=2)
    assert f"{data} cannot be written: No space left on device." in err
    assert data.read_bytes() == before
    assert [path.name for path in data.parent.glob("models*")] == ["models.json"]


def test_a_machine_without_a_place_for_it_uses_the_list_and_says_so(
    sim: Simulator, run: Refresh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_cache, "cache_dir", lambda: None)
    answer_with(sim, drifted(sim))
    _, err = run("refresh", *ON)
    assert "Not kept: this machine has no place for it. Set CEREBRAS_CACHE_DIR." in err
    told = json.loads(run("refresh", "--json", *ON)[0])
    assert told["kept"] is None


# ------------------------------------------------------------------- the whole command


def test_it_works_against_a_simulator_that_somebody_started(tmp_path: Path) -> None:
    env = environment({"CEREBRAS_CACHE_DIR": str(tmp_path / "cache")})
    with subprocess.Popen(
        [*COMMAND, "simulate", "--speed", "instant"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
    ) as server:
        try:
            assert server.stdout is not None
            first = server.stdout.readline()
            url = re.search(r"http://\S+", first)
            assert url is not None, first
            here = {"CEREBRAS_BASE_URL": url[0], **env}
            ended = in_pipes("models", "refresh", *ON, env=here)
            assert (ended.returncode, ended.stdout.split()[0]) == (0, "what")
            ended = in_pipes("models", "list", *ON, env=here)
            assert f"with the live list of {LATER} from" in ended.stderr
        finally:
            server.kill()


def test_the_list_loads_no_client_and_no_messages() -> None:
    code = (
        "import sys\n"
        "from langchain_cerebras_ext.__main__ import main\n"
        "for command in (['list', '--all'], ['show', 'gpt-oss-120b'],\n"
        "                ['compare', 'gpt-oss-120b', 'qwen-3.8-27b'], ['cheapest']):\n"
        "    assert main(['models', *command]) == 0\n"
        "heavy = ('openai', 'aiohttp', 'urllib3', 'requests', 'langchain_core.messages',\n"
        "         'langchain_core.runnables', 'tree_sitter', 'starlette',\n"
        "         'langchain_cerebras_ext._http', 'langchain_cerebras_ext._client')\n"
        "print([name for name in heavy if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"


@posix_only
@pytest.mark.parametrize("colours", [True, False], ids=["colours", "NO_COLOR"])
@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("list", "--all"), id="list"),
        pytest.param(("show", "zai-glm-4.7"), id="show"),
        pytest.param(("compare", "zai-glm-4.7", "gpt-oss-120b"), id="compare"),
    ],
)
def test_at_a_terminal_it_fits_80_columns(args: tuple[str, ...], colours: bool) -> None:
    ended = in_terminal(
        *("models", *args, "--on", "2026-11-21"),
        env={} if colours else {"NO_COLOR": "1"},
    )
    assert ended.code == 0
    lines = ended.text.splitlines()
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines)
    assert any("zai-glm-4.7" in line for line in lines)
    # Colours of the terminal's own palette, that suit dark and light ones.
    codes = set(re.findall(r"\x1b\[([\d;]*)m", ended.raw))
    assert not [code for code in codes if code.startswith(("38", "48"))]
    has_colours = any(code.startswith("3") for code in codes)
    assert has_colours is (colours and args[0] == "show")


@posix_only
def test_whoever_reads_only_the_first_line_gets_no_traceback() -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(COMMAND)} models list --all | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    )
    assert done.stdout.split()[0] == "model"
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------- the recipe


def recipe() -> dict[str, Any]:
    """Return the workflow that the documentation gives."""
    text = RECIPE.read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(name: .*?)\n```\n", text, re.DOTALL)
    assert found is not None
    workflow: dict[str, Any] = yaml.safe_load(found[1])
    return workflow


def script() -> str:
    steps = recipe()["jobs"]["refresh"]["steps"]
    text: str = steps[-1]["run"]
    return text


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the data, a remote, and commands that stand for the real ones."""
    bins, work, remote = tmp_path / "bin", tmp_path / "work", tmp_path / "remote.git"
    bins.mkdir()
    command = " ".join(COMMAND)
    write_command(bins / "cerebras-ext", f'exec {command} "$@" --on {LATER}')
    write_command(bins / "python", f'exec {sys.executable} "$@"')
    write_command(bins / "gh", f'printf "%s\\n" "$@" >> {tmp_path}/gh.txt')
    path = work / "langchain_cerebras_ext" / "catalog" / "models.json"
    path.parent.mkdir(parents=True)
    shutil.copy(DATA, path)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    subprocess.run([*git, "init", "-q", "--bare", remote], check=True)
    for args in (
        ["init", "-q", "-b", "main"],
        ["add", "-A"],
        ["commit", "-q", "-m", "start"],
        ["remote", "add", "origin", str(remote)],
    ):
        subprocess.run([*git, *args], cwd=work, check=True)
    return work


def write_command(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def run_recipe(
    work: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the recipe's last step as GitHub does."""
    temp = work.parent / "temp"
    temp.mkdir(exist_ok=True)
    path = f"{work.parent / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script()],
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
        env={
            **environment(env),
            "PATH": path,
            "RUNNER_TEMP": str(temp),
            "GIT_CONFIG_GLOBAL": os.devnull,
        },
    )


@posix_only
def test_the_recipe_opens_a_pull_request_with_one_commit_of_data(
    sim: Simulator, checkout: Path
) -> None:
    answer_with(sim, drifted(sim))
    done = run_recipe(checkout)
    assert done.returncode == 0, done.stderr
    log = subprocess.run(
        ["git", "log", "-1", "--format=%s", "--name-only", "refresh-catalog"],
        cwd=checkout.parent / "remote.git",
        capture_output=True,
        text=True,
        check=True,
    )
    assert log.stdout.split("\n\n") == [
        "Refresh the model catalog from the live list",
        "langchain_cerebras_ext/catalog/models.json\n",
    ]
    asked = (checkout.parent / "gh.txt").read_text(encoding="utf-8").splitlines()
    assert asked[:4] == ["pr", "create", "--head", "refresh-catalog"]
    body = (checkout.parent / "temp" / "body.md").read_text(encoding="utf-8")
    assert json.loads(body.strip("`\njson"))["gone"] == ["qwen-3.8-27b"]


@posix_only
def test_the_recipe_does_nothing_where_nothing_differs(
    sim: Simulator, checkout: Path
) -> None:
    answer_with(sim, rows_of(sim))
    done = run_recipe(checkout)
    assert done.returncode == 0, done.stderr
    assert not (checkout.parent / "gh.txt").exists()


@posix_only
def test_the_recipe_fails_where_the_service_cannot_be_reached(checkout: Path) -> None:
    done = run_recipe(checkout, {"CEREBRAS_BASE_URL": "http://127.0.0.1:9"})
    assert done.returncode == 1
    assert "connection refused" in done.stderr
    assert not (checkout.parent / "gh.txt").exists()


def test_every_command_of_the_documentation_can_be_given(run: Refresh) -> None:
    text = RECIPE.read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"cerebras-ext models (\w+)([^`\n>|&#]*)", text)
    assert len(commands) >= 6
    for name, rest in commands:
        options = re.findall(r"--[a-z-]+", rest)
        out, _ = run(name, "--help")
        assert [option for option in options if option not in out] == []


def test_the_recipe_is_a_workflow_with_no_more_rights_than_it_needs() -> None:
    workflow = recipe()
    assert workflow["permissions"] == {"contents": "write", "pull-requests": "write"}
    assert workflow[True]["schedule"]  # YAML 1.1 reads `on` as a truth
    job = workflow["jobs"]["refresh"]
    assert job["timeout-minutes"] <= 30
