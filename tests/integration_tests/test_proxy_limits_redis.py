"""Two replicas of the proxy that share the limits of keys in one Redis."""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from proxy_process import CLIENT_KEY, UPSTREAM_KEY, ProxyProcess, proxy_environment
from redis_server import RedisServer, find_server

from langchain_cerebras_ext.proxy.keys import key_line
from langchain_cerebras_ext.simulator import Simulator

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the signals of Unix end the proxy"
)

OTHER = "other-key-0123456789"
PASSWORD = "correct-horse-of-redis"


@pytest.fixture(scope="module")
def redis():
    with RedisServer(find_server(), password=PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def upstream():
    with Simulator(key=UPSTREAM_KEY) as simulator:
        yield simulator


@pytest.fixture
def replicas(redis, upstream, tmp_path):
    """Return what starts two replicas with limits."""
    import redis as client

    with client.Redis.from_url(redis.url) as connection:
        connection.flushall()
    upstream.reset()
    file = tmp_path / "keys"
    file.write_text(key_line("other", OTHER))
    running = []

    def start(**limits):
        more = {"APE_LIMITS_URL": redis.url, "APE_KEYS_FILE": file, **limits}
        environ = proxy_environment(upstream.base_url, **more)
        running.extend(ProxyProcess(environ) for _ in range(2))
        return running

    yield start
    for proxy in running:
        with proxy:
            assert proxy.end() == 0
        assert PASSWORD not in proxy.text
        assert "Traceback" not in proxy.text


def ask_both(replicas, count, key=CLIENT_KEY):
    """Ask the replicas in turn, many at once; return the statuses and the refusals."""
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda at: replicas[at % 2].chat(key=key), range(count)))
    refused = [json.loads(body)["error"] for status, body in told if status != 200]
    return [status for status, _ in told], refused


def test_replicas_together_let_no_more_requests_pass_than_the_limit(replicas, upstream):
    both = replicas(APE_KEY_REQUESTS_PER_MINUTE=10)
    began = time.monotonic()
    statuses, refused = ask_both(both, 30)
    # One comes back in six seconds.
    assert 10 <= statuses.count(200) <= 11 + (time.monotonic() - began) / 6
    assert set(statuses) == {200, 429}
    assert {error["code"] for error in refused} == {"rate_limit_exceeded"}
    assert len(upstream.requests) == statuses.count(200)
    # Another key has its own.
    assert ask_both(both, 4, OTHER)[0] == [200] * 4


def test_what_is_told_is_the_limit_that_replicas_have_reached(replicas, upstream):
    # While one is answered there is no room for another's 1,024 tokens.
    upstream.reply("Hi.", delay_s=1)
    both = replicas(APE_KEY_REQUESTS_PER_MINUTE=1000, APE_KEY_TOKENS_PER_MINUTE=1500)
    statuses, refused = ask_both(both, 8)
    assert 200 in statuses
    assert refused
    assert {error["type"] for error in refused} == {"tokens"}
    assert "is 1,500 tokens a minute" in refused[0]["message"]


def test_replicas_share_the_budgets_of_keys(replicas, upstream):
    # An answer may cost up to 16,384 tokens at 0.75 USD a million: two at a time.
    both = replicas(APE_KEY_BUDGET_USD="0.03")
    statuses, refused = ask_both(both, 12)
    assert 200 in statuses
    assert {error["code"] for error in refused} <= {"insufficient_quota"}
    # What was reserved and not used is given back, a moment after the answer.
    for proxy in both:
        proxy.wait(lambda proxy=proxy: proxy.chat()[0] == 200)
    for proxy in both:
        page = proxy.get("/metrics")[1].decode()
        rows = [
            row
            for row in page.splitlines()
            if "budget" in row and "spent" in row and "default" in row
        ]
        assert rows, page
        assert all(float(row.rsplit(" ", 1)[1]) > 0 for row in rows)


def test_without_redis_each_replica_goes_on_with_limits_of_its_own(upstream, tmp_path):
    with RedisServer(find_server()) as server:
        more = {"APE_LIMITS_URL": server.url, "APE_KEY_REQUESTS_PER_MINUTE": 5}
        with ProxyProcess(proxy_environment(upstream.base_url, **more)) as proxy:
            assert proxy.chat()[0] == 200
            server.stop()
            statuses, _ = ask_both([proxy, proxy], 10)
            assert statuses.count(200) >= 5
            assert set(statuses) == {200, 429}
            proxy.said("Until it is back each process keeps limits of its own")
            assert proxy.end() == 0


def test_without_redis_nobody_spends_beyond_a_budget(upstream):
    with RedisServer(find_server()) as server:
        more = {"APE_LIMITS_URL": server.url, "APE_KEY_BUDGET_USD": "5"}
        with ProxyProcess(proxy_environment(upstream.base_url, **more)) as proxy:
            assert proxy.chat()[0] == 200
            server.stop()
            status, body = proxy.chat()
            assert status == 503
            assert json.loads(body)["error"]["code"] == "limits_unavailable"
            assert proxy.get("/health/ready")[0] == 200
            assert proxy.end() == 0
