"""Stand-ins until the parts are there."""

from __future__ import annotations
from langchain_cerebras_ext.routing._leg import Need, Order


def read_need(messages, kwargs, *, stream, structured):
    return Need(tools=bool(kwargs.get("tools")), structured=structured, stream=stream)


def find_lack(leg, need):
    return None


def context_tokens(leg):
    profile = leg.model.profile if leg.is_made else None
    return (profile or {}).get("max_input_tokens")


class Ordered:
    name = "ordered"

    def order(self, legs, asked):
        return Order(legs)

    def observe(self, seen):
        pass


def make_strategy(strategy, **_):
    return Ordered() if isinstance(strategy, str) else strategy


def portable_messages(messages, provider):
    return messages
