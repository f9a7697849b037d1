import os
from typing import Literal

from cerebras.cloud.sdk import AsyncCerebras, Cerebras

DEFAULTS = {
    "groq": "deepseek-r1-distill-llama-70b",
    "cerebras": "llama-3.3-70b",
    "openai": "gpt-4o",
}
CATALOG = {
    "cerebras": {"qwen-3-32b": {"context": 65536}, "gpt-oss-120b": {"context": 131072}},
    "ollama": {"llama3.1-8b": {"context": 8192}},
}
RETIRED = {"qwen-3-coder-480b": "gpt-oss-120b", "zai-glm-4.6": "gpt-oss-120b"}
CerebrasModel = Literal["llama3.1-8b", "gpt-oss-120b"]


class CerebrasProvider:
    default_model = "llama-3.3-70b"

    def __init__(self, model: str = "llama3.1-8b") -> None:
        self.client = Cerebras(api_key=os.environ["CEREBRAS_API_KEY"])
        self.model = model

    def ask(self, prompt: str) -> str:
        if self.model == "qwen-3-coder-480b":
            prompt = prompt.strip()
        answer = self.client.chat.completions.create(
            model="qwen-3-32b",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=64,
        )
        return answer.choices[0].message.content


def pick(provider: str) -> str:
    if provider == "cerebras":
        return "llama-3.3-70b"
    if provider == "groq":
        return "deepseek-r1-distill-llama-70b"
    match provider:
        case "cerebras":
            return "llama3.1-8b"
        case "sambanova":
            return "llama3.1-8b"
    return "gpt-4"


def parse(parser) -> None:
    parser.add_argument("--cerebras-model", default="llama3.1-8b")
    parser.add_argument("--groq-model", default="deepseek-r1-distill-llama-70b")
    parser.add_argument("--model", help="As qwen-3-coder-480b or gpt-4.")


async def stream() -> None:
    async with AsyncCerebras() as client:
        await client.chat.completions.create(model="zai-glm-4.6", messages=[])


old = Cerebras(model="zai-glm-4.7")  # cerebras-ext: ignore
# cerebras-ext: ignore-next-line[zai-glm-4.7]
older = Cerebras(model="zai-glm-4.7")
not_this = Cerebras(model="zai-glm-4.7")  # cerebras-ext: ignore[qwen-3-32b]
