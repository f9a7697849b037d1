"""Histories of one provider as another one takes them: rules, readers, one pass."""
