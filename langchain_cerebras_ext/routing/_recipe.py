"""What is done with a leg's model before it is called: once, and not at each call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from langchain_core.runnables import RunnableBinding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.runnables import Runnable

    from langchain_cerebras_ext.routing._leg import Leg

__all__ = ["OF_TOOLS", "Called", "Recipe", "Recipes"]

OF_TOOLS: Final = (
    "tools",
    "tool_choice",
    "strict",
    "parallel_tool_calls",
    "response_format",
)
"""Arguments that a leg's `bind_tools` has to see, when there are tools among them."""

_MOST: Final = 64

Called: TypeAlias = "tuple[Runnable[Any, Any], Mapping[str, Any]]"
_Step: TypeAlias = "tuple[str, tuple[Any, ...], Mapping[str, Any]]"


@dataclass(frozen=True, slots=True, eq=False)
class Recipe:
    """What is done with a leg's model before it is called.

    Attributes:
        steps: Methods of the model, in their order, with arguments.
        needs: Arguments among those that decide which leg can.
        is_structured: Whether the answer follows a schema.
    """

    steps: tuple[_Step, ...] = ()
    needs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    is_structured: bool = False
    _made: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    _calls: dict[str, Called] = field(default_factory=dict[str, "Called"], repr=False)

    @property
    def calls_tools(self) -> bool:
        """Whether tools are among it, or structure is told to come as one's call."""
        return any(
            method == "bind_tools" or kwargs.get("method") == "function_calling"
            for method, _, kwargs in self.steps
        )

    def of(self, leg: Leg) -> Runnable[Any, Any]:
        """Return what a leg runs. Made once; of two threads one wins."""
        found = self._made.get(leg.name)
        if found is None:
            found = leg.model
            for method, args, kwargs in self.steps:
                found = getattr(found, method)(*args, **kwargs)
            found = self._made.setdefault(leg.name, found)
        return cast("Runnable[Any, Any]", found)

    def call_of(self, leg: Leg) -> Called:
        """Return what of a leg's runnable is called, and with which arguments.

        Its events are asked of the runnable itself.
        """
        found = self._calls.get(leg.name)
        if found is None:
            found = self._calls.setdefault(leg.name, _unbound(self.of(leg)))
        return found


_VERBS: Final = ("invoke", "ainvoke", "stream", "astream")


def _unbound(runnable: Runnable[Any, Any]) -> Called:
    """Take arguments out of a binding that has nothing else.

    It would merge empty configurations at each call, which takes 20 us, and wrap each
    stream in a generator.
    """
    kwargs: dict[str, Any] = {}
    while _only_binds(runnable):
        binding = cast("Any", runnable)
        runnable, kwargs = binding.bound, {**binding.kwargs, **kwargs}
    return runnable, kwargs


def _only_binds(runnable: Any) -> bool:
    return (
        isinstance(runnable, RunnableBinding)
        and not runnable.config
        and not runnable.config_factories
        and all(
            getattr(type(cast("Any", runnable)), verb) is getattr(RunnableBinding, verb)
            for verb in _VERBS
        )
    )


class Recipes:
    """The recipes of one router's calls: tools are bound to a leg's model once."""

    __slots__ = ("_bound", "_plain")

    def __init__(self) -> None:
        self._plain = Recipe()
        # By the identity of the tools, which are kept: so it is nobody else's.
        self._bound: dict[int, tuple[Any, dict[str, Any], Recipe]] = {}

    def __len__(self) -> int:
        """Return how many sets of tools are remembered."""
        return len(self._bound)

    def of(self, kwargs: dict[str, Any]) -> tuple[Recipe, dict[str, Any]]:
        """Return what each leg runs, and what is left of a call's arguments."""
        tools = kwargs.get("tools")
        if tools is None:
            return self._plain, kwargs
        bound = {
            name: kwargs[name] for name in OF_TOOLS if kwargs.get(name) is not None
        }
        rest = {name: one for name, one in kwargs.items() if name not in OF_TOOLS}
        held = self._bound.get(id(tools))
        if held is not None and held[0] is tools and held[1] == bound:
            return held[2], rest
        recipe = Recipe(steps=(("bind_tools", (), bound),), needs=bound)
        if len(self._bound) >= _MOST:
            self._bound.clear()
        self._bound[id(tools)] = (tools, bound, recipe)
        return recipe, rest
