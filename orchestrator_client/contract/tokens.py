"""How many tokens a text has, before anybody has counted them.

A provider's own count differs by its tokenizer; the difference is learned for each model, and estimates are multiplied
by it (see `gates.lua`).
"""

from __future__ import annotations

from math import ceil

BYTES_PER_TOKEN = 3.6
"""Of UTF-8. English prose has about 4.4 characters a token; code, JSON and other languages have fewer."""

MESSAGE_TOKENS = 6
"""What a message takes beside its text: role and separators."""

MEDIA_TOKENS = 1_500
"""Of an image or a page: what the large providers count for one of a usual size."""


def text_tokens(text: str) -> int:
    """Tokens of a text, roughly."""
    return ceil(most_tokens(text) / BYTES_PER_TOKEN)


def most_tokens(text: str) -> int:
    """Tokens that a text has at most: no tokenizer makes more than one of a byte."""
    return len(text.encode("utf-8", "replace"))
