"""Nouns and rules: synchronous, pure, no I/O."""
