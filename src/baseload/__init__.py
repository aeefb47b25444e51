"""Know your LLM break-even, then run at it."""

__version__ = "0.1.0"
