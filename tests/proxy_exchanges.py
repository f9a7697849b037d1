"""Exchanges of the proxy as its observers get them, and settings for these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from langchain_cerebras_ext.proxy.exchange import Exchange
from langchain_cerebras_ext.proxy.settings import Settings, Upstream

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MODEL = "gpt-oss-120b"
KEY = "key-of-the-upstream-0123456789"
CLIENT_KEY = "key-of-the-client-0123456789"

# As the service sends it: 20 tokens of prompt, 100 of completion, 30 of them reasoning.
USAGE = {
    "total_tokens": 120,
    "completion_tokens": 100,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
        "reasoning_tokens": 30,
    },
    "prompt_tokens": 20,
    "prompt_tokens_details": {"cached_tokens": 5},
}
TIMES = {
    "queue_time": 0.0003,
    "prompt_time": 0.002,
    "completion_time": 0.05,
    "total_time": 0.0525,
    "created": 1763726400.0,
}


def settings(**fields: Any) -> Settings:
    """Return settings with an upstream on this machine."""
    given = {
        "upstream": Upstream(base_url="http://127.0.0.1:9/v1", api_key=KEY),
        "api_key": CLIENT_KEY,
        **fields,
    }
    return Settings(**given)


def arrived(**fields: Any) -> Exchange:
    """Return an exchange of which only the head has come."""
    given = {
        "request_id": "req-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
        "started_at": NOON,
        "began": 1000.0,
        "method": "POST",
        "path": "/v1/chat/completions",
        "operation": "chat",
        **fields,
    }
    return Exchange(**given)


def sent(**fields: Any) -> Exchange:
    """Return an exchange whose request has gone upstream, without an answer yet."""
    given = {
        "key_id": "default",
        "model_asked": MODEL,
        "model": MODEL,
        "request_bytes": 400,
        "prompt_bytes": 400,
        "upstream": "cerebras",
        "upstream_began": 1000.001,
        "attempts": 1,
        "duration_s": 0.2,
        **fields,
    }
    return arrived(**given)


def answered(**fields: Any) -> Exchange:
    """Return an exchange that went well: a stream of 100 tokens in 0.2 seconds."""
    given = {
        "stream": True,
        "status": 200,
        "upstream_status": 200,
        "upstream_id": "chatcmpl-1",
        "model_served": MODEL,
        "usage": USAGE,
        "time_info": TIMES,
        "ttft_s": 0.05,
        "upstream_ttft_s": 0.045,
        "phase": "streaming",
        "events": 40,
        "answer_chars": 420,
        **fields,
    }
    return sent(**given)


def left(phase: str = "streaming", **fields: Any) -> Exchange:
    """Return an exchange whose client has gone."""
    given = {
        "stream": True,
        "outcome": "aborted",
        "error_category": "client_gone",
        "phase": phase,
        "status": 499 if phase == "waiting" else 200,
        "upstream_status": None if phase == "waiting" else 200,
        **fields,
    }
    return sent(**given)


def refused(category: str = "auth", status: int = 401, **fields: Any) -> Exchange:
    """Return an exchange that the proxy has answered by itself."""
    given = {
        "outcome": "refused",
        "error_category": category,
        "error_message": "Send your key.",
        "status": status,
        "duration_s": 0.0004,
        **fields,
    }
    return arrived(**given)


def failed(category: str, status: int = 502, **fields: Any) -> Exchange:
    """Return an exchange that went wrong upstream."""
    given = {
        "outcome": "failed",
        "error_category": category,
        "error_message": "The upstream has failed.",
        "status": status,
        **fields,
    }
    return sent(**given)
