"""The official openai SDK as the public face of a model's connection.

Loaded only when somebody asks for `model.client`. It sends on the same connections as
the model, and nothing of OpenAI's environment variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["make_sdk_client"]


def make_sdk_client(
    name: str,
    *,
    transport: Any,
    own_client: Any,
    api_key: str | None,
    base_url: str,
    headers: Mapping[str, str],
    query: Mapping[str, object] | None,
) -> Any:
    """Return `openai.OpenAI` or `openai.AsyncOpenAI` for the API.

    Args:
        name: Which of the two.
        transport: The model's transport, sync or async to match.
        own_client: A client of the user's, which is used in its place.
        api_key: The key; a server on this machine may need none.
        base_url: The API's address, ending in `/v1`.
        headers: What every request of the model carries.
        query: What every URL of the model carries.
    """
    import openai

    from langchain_cerebras_ext import _http as t

    parent = getattr(openai, name)
    # The SDK adds `OPENAI_CUSTOM_HEADERS`, organisation and project of the environment
    # to its default headers; what this model sends is said here and nowhere else.
    own = {key: value for key, value in headers.items() if key not in _BY_SDK}

    def default_headers(self: Any) -> dict[str, Any]:
        sent: dict[str, Any] = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            **self.platform_headers(),
            **own,
        }
        if api_key:
            sent["Authorization"] = f"Bearer {api_key}"
        return sent

    cls = type(name, (parent,), {"default_headers": property(default_headers)})
    client = own_client
    if client is None and name.startswith("Async"):
        client = t.async_openai_http_client(transport)
    elif client is None:
        client = t.openai_http_client(transport)
    return cls(
        api_key=api_key or "none",
        base_url=base_url,
        http_client=client,
        max_retries=0,
        default_query=dict(query) if query else None,
        organization="",
        project="",
    )


_BY_SDK = {"authorization", "accept", "content-type"}
