"""The command `cerebras-ext`; needs the extra `cli`."""
