"""`cerebras-ext simulate` as a server in a terminal of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from terminals import COMMAND, environment, in_terminal

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.errors import AuthenticationError


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals on Windows")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_serves_what_the_options_say_until_it_is_stopped(
    name: str, tmp_path: Path
) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text('{"rules": [{"reply": "from the file"}]}', "utf-8")
    process = subprocess.Popen(
        [
            *COMMAND,
            "simulate",
            *("--key", "csk-the-key", "--speed", "instant", "--seed", "7"),
            *("--tier", "free_trial", "--scenario", str(scenario)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({"PYTHONUNBUFFERED": "1"}),
    )
    assert process.stdout is not None
    url = ""
    for line in process.stdout:
        assert "csk-the-key" not in line
        found = re.match(r"export CEREBRAS_BASE_URL=(\S+)", line)
        url = found[1] if found else url
        if "CEREBRAS_API_KEY" in line:
            break
    with ChatCerebras(base_url=url, api_key="csk-the-key") as model:
        message = model.invoke("Hi")
    assert message.text == "from the file"
    limits = message.response_metadata["rate_limits"]
    assert limits["x-ratelimit-limit-requests-day"] > 0
    with (
        ChatCerebras(base_url=url, api_key="csk-another") as model,
        pytest.raises(AuthenticationError),
    ):
        model.invoke("Hi")
    process.send_signal(getattr(signal, name))
    _, told = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in told


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_ctrl_c_ends_it_at_once() -> None:
    ended = in_terminal("simulate", keys=[("CEREBRAS_API_KEY", "\x03")])
    assert ended.code == 0
    assert ended.seconds < 15
    assert "Traceback" not in ended.text
