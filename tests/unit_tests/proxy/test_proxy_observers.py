"""Whatever an upstream answers, observers take note of it and never raise."""

import json

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from proxy_exchanges import TIMES, USAGE, answered, failed, left, refused, settings

from langchain_cerebras_ext.proxy.log import RequestLog
from langchain_cerebras_ext.proxy.metrics import Metrics
from langchain_cerebras_ext.proxy.record import LedgerObserver, Priced

MAKERS = [
    answered,
    left,
    lambda **fields: failed("upstream_interrupted", 200, **fields),
    lambda **fields: refused("model_retired", 404, **fields),
]
TEXTS = st.text(max_size=20) | st.just("\ud800") | st.sampled_from(["", "a" * 5000])
PRICED = Priced(settings())
NUMBERS = st.integers(-5, 10**30) | st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
    ),
    max_leaves=6,
)


def objects(known):
    """Return objects with some of the known keys, which hold anything."""
    names = st.sampled_from(sorted(known)) | TEXTS
    return st.none() | st.dictionaries(names, JSON, max_size=5)


class Rows(list):
    """A ledger that keeps its rows, as JSON."""

    def add(self, record):
        self.append(record.to_dict())


@given(
    make=st.sampled_from(MAKERS),
    usage=objects(USAGE),
    times=objects(TIMES),
    limits=st.none()
    | st.dictionaries(
        st.sampled_from(["limit-x", "remaining-x", "limit-", "x"]) | TEXTS, TEXTS
    ),
    text=TEXTS,
    level=st.sampled_from(["INFO", "DEBUG"]),
    ttft=st.none() | st.floats(0, 1e9),
    size=st.integers(0, 10**12),
)
@effort(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_answer_is_too_odd(make, usage, times, limits, text, level, ttft, size):
    how = settings(log_level=level, log_content=True)
    exchange = make(
        usage=usage,
        time_info=times,
        rate_limits=limits,
        model=text,
        model_served=text,
        model_asked=text,
        upstream_id=text,
        error_message=text,
        key_id=text,
        ttft_s=ttft,
        prompt_bytes=size,
        answer_chars=size,
        sunset=(text, None),
        failed_upstreams=[("eu", "upstream_timeout")],
        detail={"request_body": text},
    )
    rows, lines = Rows(), []
    metrics = Metrics(how)
    metrics.begin()
    for observe in (
        PRICED,
        metrics,
        LedgerObserver(rows, how),
        RequestLog(how, lines.append),
    ):
        observe(exchange)
    assert len(lines) == 1
    assert json.loads(lines[0])["request_id"] == "req-1"
    assert len(rows) == (0 if exchange.upstream_began is None else 2)
    assert b"cerebras_proxy_requests_total{" in metrics.render("")[1]
