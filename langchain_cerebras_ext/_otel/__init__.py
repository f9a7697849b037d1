"""The parts of `langchain_cerebras_ext.otel`; nothing here is public."""
