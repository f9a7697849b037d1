"""An OpenAI-compatible proxy to Cerebras Inference."""
