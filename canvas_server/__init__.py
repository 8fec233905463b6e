"""A server for Markdown canvases that people and LLM agents edit together, live."""

__version__ = "0.1.0"
