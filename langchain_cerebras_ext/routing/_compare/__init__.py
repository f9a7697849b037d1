"""Comparing models: prompts, judging, calls, results kept, figures, texts."""
