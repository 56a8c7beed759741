"""OpenAI's models, by the Responses API; `client` is the one file that imports the SDK."""
