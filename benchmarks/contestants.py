"""The clients that are compared, behind one face.

Only LangChain models have all of it; the raw SDKs stand for the floor that a model on
top of them cannot get under.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

from benchmarks.server import MODEL

KEY = "csk-benchmarks"
PROMPT = "Write some words about the weather in Berlin, please."
SCHEMA = {
    "title": "Text",
    "description": "A text with a title.",
    "type": "object",
    "properties": {"title": {"type": "string"}, "text": {"type": "string"}},
    "required": ["title", "text"],
    "additionalProperties": False,
}


class Contestant(ABC):
    """A client at one base URL."""

    title: ClassVar[str]
    imports: ClassVar[str]
    package: ClassVar[str]
    is_langchain: ClassVar[bool] = True

    def __init__(self, url: str) -> None:
        self.url = url
        self.made: Any = self.make()

    @abstractmethod
    def make(self) -> Any:
        """Return a client for the base URL."""

    def invoke(self) -> Any:
        """Return a plain answer."""
        return self.made.invoke(PROMPT)

    async def ainvoke(self) -> Any:
        """Return a plain answer."""
        return await self.made.ainvoke(PROMPT)

    def stream(self) -> Iterator[Any]:
        """Return the chunks of a stream."""
        return self.made.stream(PROMPT)

    def astream(self) -> AsyncIterator[Any]:
        """Return the chunks of a stream."""
        return self.made.astream(PROMPT)

    def text(self, chunk: Any) -> str:
        """Return a chunk's text."""
        return chunk.content

    def warm(self) -> None:
        """Do once what happens once."""
        self.invoke()

    async def awarm(self) -> None:
        """Do once what happens once."""
        await self.ainvoke()


class Ours(Contestant):
    title = "langchain-cerebras-ext"
    imports = "from langchain_cerebras_ext import ChatCerebras"
    package = "langchain-cerebras-ext"

    def make(self) -> Any:
        from langchain_cerebras_ext import ChatCerebras

        return ChatCerebras(model=MODEL, api_key=KEY, base_url=self.url)


class OursJoined(Ours):
    """With the deltas of one network read joined into one chunk."""

    title = "... with coalesce_stream"

    def make(self) -> Any:
        return super().make().model_copy(update={"coalesce_stream": True})


class LangChainCerebras(Contestant):
    title = "langchain-cerebras"
    imports = "from langchain_cerebras import ChatCerebras"
    package = "langchain-cerebras"

    def make(self) -> Any:
        from langchain_cerebras import ChatCerebras

        return ChatCerebras(model=MODEL, api_key=KEY, base_url=self.url)


class LangChainOpenAI(Contestant):
    title = "ChatOpenAI(base_url)"
    imports = "from langchain_openai import ChatOpenAI"
    package = "langchain-openai"

    def make(self) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model=MODEL, api_key=KEY, base_url=self.url)


class _SDK(Contestant):
    is_langchain = False

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.amade: Any = self.amake()
        self.asked: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": PROMPT}],
        }

    @abstractmethod
    def amake(self) -> Any:
        """Return an async client for the base URL."""

    def invoke(self) -> Any:
        return self.made.chat.completions.create(**self.asked)

    async def ainvoke(self) -> Any:
        return await self.amade.chat.completions.create(**self.asked)

    def stream(self) -> Iterator[Any]:
        yield from self.made.chat.completions.create(**self.asked, stream=True)

    async def astream(self) -> AsyncIterator[Any]:
        stream = await self.amade.chat.completions.create(**self.asked, stream=True)
        async for chunk in stream:
            yield chunk

    def text(self, chunk: Any) -> str:
        return chunk.choices[0].delta.content or ""


class OpenAISDK(_SDK):
    title = "openai SDK"
    imports = "from openai import OpenAI"
    package = "openai"

    def make(self) -> Any:
        import openai

        return openai.OpenAI(base_url=self.url, api_key=KEY)

    def amake(self) -> Any:
        import openai

        return openai.AsyncOpenAI(base_url=self.url, api_key=KEY)


class CerebrasSDK(_SDK):
    title = "cerebras SDK"
    imports = "from cerebras.cloud.sdk import Cerebras"
    package = "cerebras-cloud-sdk"

    def _options(self) -> dict[str, Any]:
        url = self.url.removesuffix("/v1")
        return {"base_url": url, "api_key": KEY, "warm_tcp_connection": False}

    def make(self) -> Any:
        from cerebras.cloud import sdk

        return sdk.Cerebras(**self._options())

    def amake(self) -> Any:
        from cerebras.cloud import sdk

        return sdk.AsyncCerebras(**self._options())


BASELINE = "langchain-cerebras"
CONTESTANTS: dict[str, type[Contestant]] = {
    "ours": Ours,
    "ours-joined": OursJoined,
    BASELINE: LangChainCerebras,
    "langchain-openai": LangChainOpenAI,
    "openai-sdk": OpenAISDK,
    "cerebras-sdk": CerebrasSDK,
}
