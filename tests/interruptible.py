"""A program that a test interrupts: it makes the calls that it is told to make.

Each line that it reads names a path, a stage and two addresses: one that holds the
call, and one that answers. It says `reached` at the stages that only it can see, and
then what the interrupt ended in.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from typing import Any

from call_paths import acall, call
from fake_limiter import FakeLimiter
from stages import open_sockets

from langchain_cerebras_ext import ChatCerebras
from langchain_cerebras_ext.retry import RetryPolicy

ASYNC_PATHS = ("ainvoke", "astream", "av3")


def say(what: Any) -> None:
    print(json.dumps(what), flush=True)


def wait() -> None:
    say("reached")
    time.sleep(60)


async def await_() -> None:
    say("reached")
    await asyncio.sleep(60)


def make_model(stage: str, url: str) -> ChatCerebras:
    fields: dict[str, Any] = {}
    if stage == "limiter":
        fields["rate_limiter"] = FakeLimiter(wait, await_).as_model_limiter()
    policy = RetryPolicy(
        initial_delay=60, max_delay=60, on_retry=lambda _: say("reached")
    )
    return ChatCerebras(
        base_url=url, api_key="csk-interruptible", retry_policy=policy, **fields
    )


def one_call(path: str, model: ChatCerebras) -> None:
    if path not in ASYNC_PATHS:
        call(path, model)
        return

    async def main() -> None:
        try:
            await acall(path, model)
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            tasks.extend(left if path != "av3" else ())  # LangChain's own producer

    tasks: list[Any] = []
    try:
        asyncio.run(main())
    finally:
        assert not tasks, tasks


def main() -> None:
    gc.freeze()  # it collects often; what is loaded need not be looked through
    say("ready")
    for line in sys.stdin:
        order = json.loads(line)
        gc.collect()
        sockets, threads = open_sockets(), threading.active_count()
        began = time.monotonic()
        try:
            one_call(order["path"], make_model(order["stage"], order["url"]))
            raised = "nothing"
        except BaseException as error:
            raised = type(error).__name__
        took_s = time.monotonic() - began
        gc.collect()
        # A connection that was interrupted is closed; one that was not may be kept.
        after = make_model("", order["ok"])
        again = call(order["path"], after).text
        after.close()
        gc.collect()
        say({
            "raised": raised,
            "again": again,
            "took_s": took_s,
            "sockets": len(open_sockets() - sockets),
            "threads": threading.active_count() - threads,
        })  # fmt: skip


if __name__ == "__main__":
    main()
