"""Servers that speak OpenAI's API under a name of the project's, by chat completions; OpenAI's client carries them."""
