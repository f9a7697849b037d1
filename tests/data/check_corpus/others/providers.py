"""Llama 3.3 as llama-3.3-70b, qwen-3-coder-480b and others."""

from langchain_groq import ChatGroq
from langchain_openai import ChatOpenAI
from openai import OpenAI

a = ChatGroq(model="deepseek-r1-distill-llama-70b")
b = ChatOpenAI(model="gpt-4")
c = OpenAI(base_url="https://api.together.xyz/v1")
d = c.chat.completions.create(model="llama-3.3-70b", messages=[], max_tokens=5)
e = "meta-llama/Llama-3.3-70B-Instruct"
f = "openrouter/meta-llama/llama-4-scout-17b-16e-instruct"
g = "snowflake/llama3.1-8b"
h = "@cf/meta/llama-4-scout-17b-16e-instruct"
i = "my-llama3.1-8b"
j = "llama3.1-8b-q4_0"
k = "qwen-3-coder-480b-a35b-instruct"
m = "https://huggingface.co/x/llama3.1-8b"
n = {"model": "llama3.1-8b", "messages": [], "max_tokens": 5}
o = "deepseek-r1-distill-llama-70b:free"
