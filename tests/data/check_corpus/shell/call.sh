#!/usr/bin/env bash
# CEREBRAS_MODEL=qwen-3-coder-480b
export CEREBRAS_MODEL="qwen-3-coder-480b"
MODEL="${CEREBRAS_MODEL:-llama3.1-8b}"
aider --model cerebras/llama-3.3-70b --yes
llm -m cerebras-llama3.1-8b "hello"
ollama pull llama3.1-8b
curl https://api.cerebras.ai/v1/chat/completions \
  -H "Authorization: Bearer $CEREBRAS_API_KEY" \
  -d '{"model": "llama3.1-8b", "messages": [], "max_tokens": 10}'
curl https://api.openai.com/v1/chat/completions \
  -d '{"model": "gpt-4", "messages": [], "max_tokens": 10}'
cat <<EOF | curl https://api.cerebras.ai/v1/chat/completions -d @-
{"model": "qwen-3-32b", "messages": [], "disable_reasoning": true}
EOF
if [ "$MODEL" = "zai-glm-4.6" ]; then echo "zai-glm-4.6 is gone"; fi
CEREBRAS_MODELS=(llama3.1-8b llama-3.3-70b gpt-oss-120b)
