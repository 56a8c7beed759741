"""Anthropic's models, by the Messages API; `client` is the one file that imports the SDK."""
