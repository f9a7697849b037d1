# model="zai-glm-4.6"
llm = ChatCerebras(model="llama3.1-8b"
print "Cerebras has qwen-3-coder-480b"
chat = ChatGroq(model="deepseek-r1-distill-llama-70b")
