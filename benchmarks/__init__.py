"""Ours against the other clients of the same API; see `README.md`."""
