"""The clock of a shared store, seen from here."""

from __future__ import annotations

import pytest

from langchain_cerebras_ext.costs._budgets import _clock


class Times:
    """This machine's clocks, and how often the server was asked."""

    def __init__(self):
        self.tick, self.wall, self.server, self.asked = 100.0, 5_000.0, 9_000.0, 0

    def time(self):
        return self.wall

    def monotonic(self):
        return self.tick

    def ask(self):
        self.asked += 1
        return self.server

    def pass_s(self, seconds, *, asleep=False):
        self.wall += seconds
        self.server += seconds
        if not asleep:
            self.tick += seconds


@pytest.fixture
def times(monkeypatch):
    times = Times()
    monkeypatch.setattr(_clock, "time", times)
    return times


def test_the_server_is_asked_once_a_minute(times):
    clock = _clock.ServerClock()
    for _ in range(120):
        assert clock.now_s(times.ask) == times.server
        times.pass_s(1)
    assert times.asked == 2


@pytest.mark.parametrize("jump_s", [-3600, 3600])
def test_a_clock_that_is_set_here_does_not_move_the_servers(jump_s, times):
    clock = _clock.ServerClock()
    clock.now_s(times.ask)
    times.wall += jump_s
    assert clock.now_s(times.ask) == times.server


def test_a_machine_that_slept_asks_again(times):
    clock = _clock.ServerClock()
    clock.now_s(times.ask)
    times.pass_s(8 * 3600, asleep=True)
    assert clock.now_s(times.ask) == times.server


def test_after_a_failure_it_asks_again(times):
    clock = _clock.ServerClock()
    clock.now_s(times.ask)
    times.server = 1.0  # another server
    clock.forget()
    assert clock.now_s(times.ask) == 1.0
