import json
import os

import requests
from openai import OpenAI

BASE_URL = "https://api.cerebras.ai/v1"
MODEL = os.environ.get("MODEL", "llama-3.3-70b")
PROVIDER = "cerebras"
SPEC = f"{PROVIDER}/qwen-3-32b"
LATE = "cerebras/" + "llama3.1-8b"
SPLIT = "cerebras/" + "llama3.1" + "-8b"

client = OpenAI(base_url=BASE_URL, api_key=os.environ["CEREBRAS_API_KEY"])
openai = OpenAI()


def ask(question: str) -> str:
    answer = client.chat.completions.create(
        model=MODEL,
        max_tokens=100,
        messages=[{"role": "user", "content": question}],
    )
    return answer.choices[0].message.content


def ask_raw(question: str) -> dict:
    body = {
        "model": "qwen-3-235b-a22b-instruct-2507",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 100,
        "disable_reasoning": True,
    }
    return requests.post(f"{BASE_URL}/chat/completions", json=body, timeout=30).json()


def ask_text() -> str:
    body = json.loads('{"model": "llama3.1-8b", "messages": [], "max_tokens": 5}')
    return requests.post(f"{BASE_URL}/chat/completions", json=body, timeout=30).text


def ask_openai() -> str:
    return openai.chat.completions.create(
        model="gpt-4", max_tokens=10, messages=[]
    ).choices[0].message.content


def ask_new(client: OpenAI) -> None:
    body = {"model": "qwen-3.8-27b", "messages": [], "disable_reasoning": True}
    client.post("https://api.cerebras.ai/v1/chat/completions", body=body)
