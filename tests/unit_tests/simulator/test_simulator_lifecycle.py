"""Starting and stopping: free ports, no leaks, two at once, loops that run already."""

import asyncio
import importlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

from langchain_cerebras_ext.errors import CerebrasConfigurationError, MissingExtraError
from langchain_cerebras_ext.simulator import Simulator, create_simulator_app
from langchain_cerebras_ext.simulator.command import (
    describe,
    parse_speed,
    run_simulator,
)

pytest_plugins = ["pytester"]


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def test_it_serves_on_a_free_port_and_leaves_nothing_behind():
    threads = set(threading.enumerate())
    with Simulator() as sim:
        assert sim.running
        assert sim.base_url == f"http://127.0.0.1:{sim.port}/v1"
        assert sim.root_url in repr(sim)
        assert b"gpt-oss-120b" in get(f"{sim.root_url}/public/v1/models")
        assert len(set(threading.enumerate()) - threads) == 1
    assert set(threading.enumerate()) == threads
    assert not sim.running
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", sim.port)) != 0
    # The port can be taken again at once.
    with Simulator(port=sim.port) as again:
        assert again.port == sim.port


def test_two_run_at_once_and_know_nothing_of_each_other():
    with Simulator() as one, Simulator() as other:
        assert one.port != other.port
        get(f"{one.base_url}/tcp_warming")
        assert (len(one.requests), len(other.requests)) == (1, 0)


def ids_of(sim, many=3):
    """Return the ids of a few answers."""
    body = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "hi"}]}
    asked = urllib.request.Request(
        f"{sim.base_url}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    found = []
    for _ in range(many):
        with urllib.request.urlopen(asked, timeout=5) as answer:
            found.append(json.load(answer)["id"])
    return found


def test_two_side_by_side_never_give_the_same_id():
    with Simulator() as one, Simulator() as other:
        alone, beside = ids_of(one), ids_of(other)
    assert len({*alone, *beside}) == 6
    with Simulator() as again:  # alone, it is as it was
        assert ids_of(again) == alone
    with other:
        other.reset()
        assert ids_of(other) == alone


def test_start_and_stop_may_be_called_again():
    sim = Simulator()
    assert sim.start().start() is sim
    first = sim.port
    sim.stop()
    sim.stop()
    assert repr(sim) == "<Simulator stopped>"
    sim.start()
    try:
        assert get(f"{sim.base_url}/tcp_warming")
        assert first
    finally:
        sim.stop()


async def test_it_starts_where_a_loop_is_running():
    before = asyncio.all_tasks()
    with Simulator() as sim:
        await asyncio.to_thread(get, f"{sim.base_url}/tcp_warming")
    async with Simulator() as sim:
        await asyncio.to_thread(get, f"{sim.base_url}/tcp_warming")
    assert asyncio.all_tasks() == before


def test_stopping_does_not_wait_for_slow_answers():
    sim = Simulator().start()
    sim.fail_next(500, path="/v1/tcp_warming", delay_s=30)
    failed = []

    def ask():
        try:
            get(f"{sim.base_url}/tcp_warming")
        except OSError as error:
            failed.append(error)

    asking = threading.Thread(target=ask)
    base = sim.base_url
    asking.start()
    while not sim.requests:
        time.sleep(0.005)
    assert base
    started = time.monotonic()
    sim.stop()
    asking.join(25)
    assert time.monotonic() - started < 20  # of the 30 s that the answer would take
    assert failed
    assert sim.requests[0].was_cancelled


def test_many_starts_are_cheap_and_leak_no_descriptors():
    descriptors = Path("/proc/self/fd")

    def count():
        return len(list(descriptors.iterdir())) if descriptors.is_dir() else 0

    with Simulator():
        pass
    before = count()
    for _ in range(20):
        with Simulator() as sim:
            get(f"{sim.base_url}/tcp_warming")
    assert count() <= before


def test_the_base_url_of_a_stopped_simulator_says_what_to_do():
    with pytest.raises(CerebrasConfigurationError, match=r"use `with Simulator\(\)`"):
        _ = Simulator().base_url


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
def test_other_machines_are_let_in_only_when_told(host):
    with pytest.raises(CerebrasConfigurationError, match="allow_remote=True"):
        Simulator(host=host)


def test_remote_access_can_be_allowed():
    with Simulator(host="0.0.0.0", allow_remote=True) as sim:
        assert get(f"http://127.0.0.1:{sim.port}/v1/tcp_warming")


def test_it_serves_on_localhost_and_ipv6():
    assert Simulator(host="localhost").host == "localhost"
    if has_ipv6():
        with Simulator(host="::1") as sim:
            assert sim.base_url.startswith("http://[::1]:")
            assert get(f"{sim.base_url}/tcp_warming")


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_out_of_range_is_refused(port):
    with pytest.raises(CerebrasConfigurationError, match=f"port={port} is not valid"):
        Simulator(port=port)


def test_a_taken_port_is_an_error_at_once():
    with Simulator() as sim, pytest.raises(CerebrasConfigurationError, match=f"Cannot listen on 127.0.0.1:{sim.port}"):  # fmt: skip
        Simulator(port=sim.port).start()


def test_wrong_settings_are_configuration_errors():
    with pytest.raises(CerebrasConfigurationError, match="speed='slow'"):
        Simulator(speed="slow")


def test_a_failing_start_is_told(monkeypatch):
    from langchain_cerebras_ext.simulator.uvicorn_server import QuickServer

    async def fail(self, sockets=None):
        msg = "no luck"
        raise RuntimeError(msg)

    monkeypatch.setattr(QuickServer, "startup", fail)
    with pytest.raises(CerebrasConfigurationError, match="could not start: no luck"):
        Simulator().start()


def test_a_start_that_hangs_is_given_up(monkeypatch):
    from langchain_cerebras_ext.simulator import server
    from langchain_cerebras_ext.simulator.uvicorn_server import QuickServer

    async def hang(self, sockets=None):
        self.servers = []
        await asyncio.sleep(0.3)

    monkeypatch.setattr(QuickServer, "startup", hang)
    monkeypatch.setattr(server, "_START_S", 0.05)
    with pytest.raises(CerebrasConfigurationError, match="did not start within"):
        Simulator().start()


@pytest.mark.parametrize("make", [Simulator, create_simulator_app])
def test_a_missing_extra_is_named_with_its_install_line(monkeypatch, make):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: (
            None if name in ("uvicorn", "jsonschema") else real(name, *rest)
        ),
    )
    with pytest.raises(MissingExtraError) as caught:
        make()
    assert "uvicorn, jsonschema" in str(caught.value)
    assert "pip install 'langchain-cerebras-ext[simulator]'" in str(caught.value)


def test_the_package_lists_and_loads_its_names():
    package = importlib.import_module("langchain_cerebras_ext.simulator")
    for name in package.__all__:
        value = getattr(package, name)
        assert getattr(value, "__name__", name) in {name, "Literal"}
        assert name in dir(package)
    with pytest.raises(AttributeError, match="has no attribute 'Nope'"):
        _ = package.Nope


def test_the_pytest_plugin_loads_nothing_heavy():
    script = (
        "import sys, langchain_cerebras_ext.simulator.pytest_plugin;"
        "heavy = {'starlette', 'uvicorn', 'jsonschema', 'langchain_core', 'pydantic', 'openai'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_the_fixture_serves_other_peoples_tests(pytester):
    pytester.makepyfile(
        """
        import urllib.request

        def test_it(cerebras_simulator):
            cerebras_simulator.reply("Hi")
            url = cerebras_simulator.base_url + "/tcp_warming"
            assert urllib.request.urlopen(url, timeout=5).status == 200
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)


# ---------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("text", "speed"), [("real", "real"), ("instant", "instant"), ("2.5", 2.5)]
)
def test_a_speed_is_read(text, speed):
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0", "-1", "inf", "nan"])
def test_a_wrong_speed_is_named(text):
    with pytest.raises(ValueError, match=f"speed '{text}' is not valid"):
        parse_speed(text)


def test_the_command_prints_what_to_export_and_never_the_key():
    lines = []
    ended = threading.Event()
    sim = Simulator(key="csk-very-secret")

    def stop_soon(line):
        lines.append(line)
        if line.startswith("export CEREBRAS_API_KEY"):
            ended.set()

    run_simulator(sim, key="csk-very-secret", echo=stop_soon, stop=ended)
    assert lines[1].startswith("export CEREBRAS_BASE_URL=http://127.0.0.1:")
    assert lines[2] == "export CEREBRAS_API_KEY=<the key you gave>"
    assert lines[-1] == "Simulator stopped."
    assert "secret" not in "".join(lines)
    assert not sim.running


def test_without_a_key_a_placeholder_is_shown():
    with Simulator() as sim:
        assert describe(sim, None)[2] == "export CEREBRAS_API_KEY=csk-simulator"


def test_ctrl_c_ends_the_command_cleanly():
    class Pressed(threading.Event):
        def wait(self, timeout=None):
            raise KeyboardInterrupt

    lines = []
    run_simulator(Simulator(), echo=lines.append, stop=Pressed())
    assert lines[-1] == "Simulator stopped."


def test_the_command_runs_outside_the_main_thread_too():
    ended = threading.Event()
    ended.set()
    lines = []
    thread = threading.Thread(
        target=run_simulator,
        args=(Simulator(),),
        kwargs={"echo": lines.append, "stop": ended},
    )
    thread.start()
    thread.join(10)
    assert lines[-1] == "Simulator stopped."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_sigterm_ends_the_command(tmp_path):
    script = (
        "from langchain_cerebras_ext.simulator import Simulator, run_simulator\n"
        "run_simulator(Simulator(), echo=lambda line: print(line, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline().startswith("Simulator of the Cerebras API at")
        process.terminate()
        rest, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "Simulator stopped." in rest


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tier": "gold"}, r"--tier='gold' is not valid; give free_trial or developer"),
        ({"port": 70_000}, r"--port=70000 is not valid; give 0 \(any free port\)"),
        ({"host": "0.0.0.0"}, r"--host=0.0.0.0 .* add --allow-remote if"),
        ({"host": "example.org"}, r"other machines in\..* add --allow-remote"),
        ({"speed": "slow"}, r"--speed 'slow' is not valid"),
    ],
)
def test_the_command_speaks_of_its_options(options, told):
    from langchain_cerebras_ext.cli.failures import CommandError
    from langchain_cerebras_ext.cli.simulate import SimulateOptions, run_simulate

    with pytest.raises(CommandError, match=told) as caught:
        run_simulate(SimulateOptions(**options))
    assert "None" not in str(caught.value)
    assert "True" not in str(caught.value)


def test_the_command_keeps_no_requests(monkeypatch):
    from langchain_cerebras_ext import simulator
    from langchain_cerebras_ext.cli.simulate import SimulateOptions, run_simulate

    started = []
    monkeypatch.setattr(
        simulator, "run_simulator", lambda sim, **more: started.append(sim)
    )
    run_simulate(SimulateOptions(host="0.0.0.0", allow_remote=True, tier="developer"))
    assert started[0].engine.settings.keep_requests == 0
