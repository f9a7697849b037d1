"""An exchange is broken off for one reason, in time, and by nobody else's clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from langchain_cerebras_ext.proxy import Settings, Upstream
from langchain_cerebras_ext.proxy.lifecycle import Lifecycle, Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

GONE = {"type": "http.disconnect"}


async def never() -> Any:
    return await asyncio.Event().wait()


def run(
    work: Callable[[Watch], Coroutine[Any, Any, Any]],
    receive: Callable[[], Awaitable[Any]] = never,
    total_s: float | None = None,
) -> tuple[Watch, Any]:
    """Return the watch, and what came of the work."""

    async def main() -> tuple[Watch, Any]:
        watch = Watch(receive, total_s)
        try:
            found: Any = await work(watch)
        except asyncio.CancelledError:
            found = watch.caught()
        finally:
            watch.stop()
        return watch, found

    return asyncio.run(main())


@pytest.mark.parametrize("limit", ["connect", "first_byte", "idle"])
def test_a_limit_that_passes_is_named(limit: Any) -> None:
    async def work(watch: Watch) -> None:
        watch.expect(limit, 0.03)
        await never()

    watch, was_own = run(work)
    assert (watch.reason, was_own) == (limit, True)


def test_the_whole_is_named_before_its_parts() -> None:
    async def work(watch: Watch) -> None:
        watch.expect("idle", 5)
        await never()

    assert run(work, total_s=0.03)[0].reason == "total"


def test_a_limit_begins_anew_with_each_sign_of_life() -> None:
    async def work(watch: Watch) -> str:
        watch.expect("idle", 1)
        for _ in range(16):
            await asyncio.sleep(0.08)
            watch.heard()
        return "done"

    assert run(work)[1] == "done"


def test_waiting_for_the_client_is_not_held_against_the_upstream() -> None:
    async def work(watch: Watch) -> None:
        watch.expect("idle", 0.03)
        watch.is_sending = True
        await never()

    assert run(work)[0].reason == "client"


def test_a_shorter_limit_comes_to_hold_at_once() -> None:
    async def work(watch: Watch) -> None:
        watch.expect("connect", 50)
        await asyncio.sleep(0.02)  # the timer is set far ahead now
        watch.expect("idle", 0.02)
        async with asyncio.timeout(5):
            await never()

    assert run(work)[0].reason == "idle"


def test_a_client_that_has_left_is_noticed() -> None:
    messages = iter([{"type": "http.request"}, GONE])

    async def receive() -> Any:
        return next(messages)

    async def work(watch: Watch) -> None:
        watch.expect("idle", 5)
        await never()

    assert run(work, receive)[0].reason == "gone"


def test_a_server_may_tell_of_it_by_an_error() -> None:
    async def receive() -> Any:
        raise OSError

    async def work(watch: Watch) -> None:
        watch.expect("idle", 5)
        await never()

    assert run(work, receive)[0].reason == "gone"


def test_nobody_listens_for_the_client_where_an_answer_is_quick() -> None:
    calls = 0

    async def receive() -> Any:
        nonlocal calls
        calls += 1
        return GONE

    async def work(watch: Watch) -> str:
        watch.expect("first_byte", 5)
        return "quick"

    assert run(work, receive)[1] == "quick"
    assert calls == 0


def test_only_the_first_reason_counts_and_none_after_the_end() -> None:
    async def work(watch: Watch) -> None:
        watch.fire("shutdown")
        watch.fire("gone")
        await never()

    assert run(work)[0].reason == "shutdown"

    async def ended(watch: Watch) -> str:
        watch.stop()
        watch.fire("gone")
        await asyncio.sleep(0)
        return "whole"

    assert run(ended)[1] == "whole"


def test_another_cancellation_is_not_taken_for_its_own() -> None:
    async def main() -> tuple[Any, bool]:
        found: list[Watch] = []

        async def work() -> None:
            watch = Watch(never, None)
            found.append(watch)
            try:
                await never()
            except asyncio.CancelledError:
                assert not watch.caught()
                raise
            finally:
                watch.stop()

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        return found[0].reason, task.cancelled()

    assert asyncio.run(main()) == (None, True)


def test_both_at_once_stay_a_cancellation() -> None:
    async def main() -> bool:
        watches: list[Watch] = []

        async def work() -> None:
            watch = Watch(never, None)
            watches.append(watch)
            try:
                await never()
            except asyncio.CancelledError:
                if not watch.caught():
                    raise
            finally:
                watch.stop()

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        watches[0].fire("gone")
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert asyncio.run(main())


def test_there_is_time_for_last_words() -> None:
    async def work(watch: Watch) -> Any:
        watch.expect("idle", 0.02)
        try:
            await never()
        except asyncio.CancelledError:
            assert watch.caught()
        watch.again("client", 0.02)
        await never()

    watch, was_own = run(work)
    assert (watch.reason, was_own) == ("client", True)


def lifecycle(**settings: Any) -> Lifecycle:
    upstream = Upstream(base_url="http://127.0.0.1:9")
    return Lifecycle(Settings(upstream=upstream, **settings))


def test_what_is_under_way_at_the_deadline_is_cut() -> None:
    async def main() -> tuple[list[Any], int]:
        all_of_them = lifecycle(shutdown_s=0.02)
        reasons: list[Any] = []

        async def work() -> None:
            watch = Watch(never, None)
            all_of_them.add(watch)
            try:
                await never()
            except asyncio.CancelledError:
                assert watch.caught()
                reasons.append(watch.reason)
            finally:
                watch.stop()
                all_of_them.remove(watch)

        tasks = [asyncio.ensure_future(work()) for _ in range(3)]
        await asyncio.sleep(0)
        assert all_of_them.in_flight == 3
        all_of_them.begin_shutdown()
        all_of_them.begin_shutdown(1000)  # the first one counts
        assert all_of_them.is_ending
        await asyncio.gather(*tasks)
        all_of_them.close()
        return reasons, all_of_them.in_flight

    assert asyncio.run(main()) == (["shutdown"] * 3, 0)
