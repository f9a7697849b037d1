"""A chat model with arguments bound to it, which later steps do not lose.

LangChain's own binding hands `bind_tools` and `with_structured_output` through to the
bare model, so that what was bound before is dropped without a word.
"""

from __future__ import annotations

# `with_fallbacks` reads the hints of public methods, so their names are real imports.
from collections.abc import Callable, Sequence  # noqa: TC003
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding, RunnableSequence
from pydantic import BaseModel  # noqa: TC002

from langchain_cerebras_ext._config import strip_provider

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from langchain_cerebras_ext.chat_models import ChatCerebras
else:
    BaseTool = Any

__all__ = ["BoundChatCerebras"]

_ABOUT_TOOLS = frozenset({"tools", "tool_choice", "parallel_tool_calls"})


class BoundChatCerebras(  # type: ignore[no-redef] # a field is called `kwargs`
    RunnableBinding[LanguageModelInput, AIMessage]
):
    """`ChatCerebras` with arguments of its calls bound."""

    @classmethod
    def lc_id(cls) -> list[str]:
        """Serialise under LangChain's own name, which every loader knows."""
        return [*cls.get_lc_namespace(), "RunnableBinding"]

    @property
    def _model(self) -> ChatCerebras:
        """The model with the bound id: what it can do depends on that."""
        model = cast("ChatCerebras", self.bound)
        named = self.kwargs.get("model") or self.kwargs.get("model_name")
        if not isinstance(named, str):
            return model
        return model.model_copy(update={"model_name": strip_provider(named.strip())})

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with these tools in place of bound ones.

        All other bound arguments stay; see `ChatCerebras.bind_tools`.
        """
        bound = cast("BoundChatCerebras", self._model.bind_tools(tools, **kwargs))
        return self._with(bound, _ABOUT_TOOLS)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        tools: Sequence[Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Return the model with answers in the shape of a schema.

        Bound tools are handed on as `tools`, all other bound arguments stay; see
        `ChatCerebras.with_structured_output`.
        """
        held = [*self.kwargs.get("tools", ()), *(tools or ())]
        chain = self._model.with_structured_output(schema, tools=held or None, **kwargs)
        first, last = cast("RunnableSequence[Any, Any]", chain).steps
        asked = cast("BoundChatCerebras", first)
        return self._with(asked, frozenset({"tools", "response_format"})) | last

    def _with(
        self, asked: BoundChatCerebras, replaced: frozenset[str]
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Add what is newly asked for to what is bound here."""
        kept = {key: value for key, value in self.kwargs.items() if key not in replaced}
        return type(self)(
            bound=self.bound,
            kwargs={**kept, **asked.kwargs},
            config=self.config,
            config_factories=self.config_factories,
        )
