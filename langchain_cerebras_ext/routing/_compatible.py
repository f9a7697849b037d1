"""OpenAI's client at another company's server, or at one of your own.

Imported only when such a model is made, since `langchain-openai` is the user's to
install. What the environment says to OpenAI (organisation, project, headers) is not for
other servers, and what such a call costs is not what OpenAI charges: both are seen to
here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from langchain_openai import ChatOpenAI
from pydantic import model_validator

if TYPE_CHECKING:
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

__all__ = ["ChatCompatible"]


class ChatCompatible(ChatOpenAI):
    """A chat model on a server that speaks OpenAI's API."""

    provider: str = "local"
    """Whose server it is, under the name that costs and traces have for it."""

    @property
    def _llm_type(self) -> str:
        return f"{self.provider}-chat"

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return False: it would come back as OpenAI's."""
        return False

    @model_validator(mode="after")
    def _leave_openai(self) -> Self:
        """Take out what the client has read for OpenAI from the environment."""
        own: dict[str, Any] = dict(self.default_headers or {})
        for client in (self.root_client, self.root_async_client):
            if client is None:
                continue
            client.organization = None
            client.project = None
            client._custom_headers = own  # noqa: SLF001 - there is no public way
        self.openai_organization = None
        return self

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = self.provider
        return params

    def _create_chat_result(
        self, response: Any, generation_info: dict[str, Any] | None = None
    ) -> ChatResult:
        result = super()._create_chat_result(response, generation_info)
        if result.llm_output is not None:
            result.llm_output["model_provider"] = self.provider
        for generation in result.generations:
            generation.message.response_metadata["model_provider"] = self.provider
        return result

    def _convert_chunk_to_generation_chunk(
        self,
        chunk: dict[str, Any],
        default_chunk_class: type,
        base_generation_info: dict[str, Any] | None,
    ) -> ChatGenerationChunk | None:
        made = super()._convert_chunk_to_generation_chunk(
            chunk, default_chunk_class, base_generation_info
        )
        if made is not None:
            made.message.response_metadata["model_provider"] = self.provider
        return made
