"""An agent on ChatCerebras(model="llama3.1-8b"), as the old docs had it."""

from langchain.chat_models import init_chat_model
from langchain_cerebras import ChatCerebras
from langchain_groq import ChatGroq

# We used to run model="qwen-3-coder-480b" here.
fast = ChatCerebras(model="llama3.1-8b", temperature=0)
coder = ChatCerebras(
    model="qwen-3-coder-480b",
    max_tokens=2048,
)
thinker = ChatCerebras(model="zai-glm-4.7", disable_reasoning=True)
served = ChatCerebras(model="gpt-oss-120b")
by_name = init_chat_model("cerebras:llama-3.3-70b", temperature=0)
by_provider = init_chat_model("qwen-3-32b", model_provider="cerebras")
other = ChatGroq(model="deepseek-r1-distill-llama-70b")
longer = ChatGroq(model="llama-3.3-70b-versatile")
MODELS = ["llama3.1-8b", "llama-3.3-70b"]
models = [ChatCerebras(model=name) for name in MODELS]
print("qwen-3-coder-480b was a fine model, try it.")
