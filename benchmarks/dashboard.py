"""How long the dashboard's page waits for its data, over HTTP, as a user meets it.

Each round starts `costs dashboard` anew, with the ledger's file out of the system's
cache, and asks what a page asks: first all that is in sight, then the rest. Nothing is
asked twice of one server, since that keeps its answers.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode, urlsplit

# Browsers open six connections to a host.
CONNECTIONS = 6
SPLITS = ("model", "user", "tag", "node", "provider", "arm")
IN_SIGHT = (
    ("overview", {}),
    ("series", {"by": "model"}),
    *(("groups", {"by": name, "limit": 8}) for name in SPLITS),
)
BELOW = (
    ("groups", {"by": "outcome", "limit": 10}),
    ("groups", {"by": "error_type", "limit": 20, "sort": "calls"}),
    ("whatif", {}),
    ("budgets", None),
    ("records", {"limit": 25}),
    ("latency", {"by": "model"}),
    ("arms", {}),
)
CHOICES = {
    "first view": {},
    "30 days": {"range": "30d"},
    "15 days": {"since": "2026-10-05T10:17", "until": "2026-10-20T11:23"},
    "a model": {"model": "zai-glm-4.7"},
    "the dearest user": {"user": "user-00000"},
    "a user": {"user": "user-00500"},
    "tag of 3 %": {"tag": "team-7"},
    "tag of 33 %": {"tag": "nightly"},
    "a node": {"node": "plan"},
    "an arm": {"arm": "a"},
    "failures": {"outcome": "failed"},
    "tag of 33 %, node": {"tag": "nightly", "node": "plan"},
    "user, tag of 33 %": {"user": "user-00000", "tag": "nightly"},
    "user, node": {"user": "user-00000", "node": "plan"},
}


def measure(path, rounds):
    """Return for each choice the least seconds to what is in sight, and to the rest."""
    found = {}
    for _ in range(rounds):
        _forget(path)
        with _served(path) as place:
            for title, chosen in CHOICES.items():
                wall = _clocked(place, chosen, first=title == "first view")
                before = found.get(title, wall)
                found[title] = tuple(map(min, before, wall))
    return found


def _clocked(place, chosen, *, first):
    begun = time.perf_counter()
    if first:
        _get(place, "/")
    seen = _ask(place, chosen, IN_SIGHT) - begun
    begun = time.perf_counter()
    return seen, _ask(place, chosen, BELOW) - begun


def _ask(place, chosen, questions):
    """Ask as a page does; returns when the last answer is there."""
    chosen = (
        chosen if chosen.keys() & {"range", "since"} else {"range": "all", **chosen}
    )
    paths = [
        f"/api/{name}?{urlencode({**chosen, **more} if more is not None else {})}"
        for name, more in questions
    ]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return max(pool.map(lambda path: _get(place, path), paths))


def _get(place, path):
    connection = http.client.HTTPConnection(place, timeout=120)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        msg = f"{path}: {answer.status} {body[:200]!r}"
        raise RuntimeError(msg)
    return time.perf_counter()


@contextlib.contextmanager
def _served(path):
    """Run the command, and return where it listens."""
    command = [sys.executable, "-m", "langchain_cerebras_ext", "costs", "dashboard"]
    server = subprocess.Popen(
        [*command, "--ledger", str(path), "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = server.stdout.readline()
        address = next(word for word in said.split() if word.startswith("http"))
        yield urlsplit(address).netloc
    finally:
        server.terminate()
        server.communicate()


def _forget(path):
    """Have the system read the file from the disk again, where that can be said."""
    if not hasattr(os, "posix_fadvise"):
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
