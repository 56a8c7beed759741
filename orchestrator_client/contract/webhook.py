"""Webhooks: who is told that a run has ended."""

from __future__ import annotations

from urllib.parse import urlsplit

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.record import Record
from orchestrator_client.contract.secret import PATTERN

URL_CHARACTERS = 2_000


class Webhook(Record):
    """Where a run's end is told."""

    url: str
    secret: str = ""
    """`secret://NAME` of the worker's secret that signs; empty: nothing does."""
    values: bool = False
    """Whether the run's outputs are told too."""


def checked_webhook(url: str | None, secret: str = "", values: bool = False) -> Webhook | None:
    """A webhook from what a caller gave; None without an address.

    Raises:
        InputsInvalid: the address is none of http or https, or the secret is none.
    """
    if not url:
        return None
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= URL_CHARACTERS
    except ValueError:
        fits = False
    if not fits:
        raise InputsInvalid([f"webhook {url[:80]!r} is no address: it is http:// or https:// and a host"])
    if secret and not PATTERN.fullmatch(secret):
        raise InputsInvalid([f"webhook's secret {secret[:20]!r}: write secret://NAME, whose value workers know"])
    return Webhook(url=url, secret=secret, values=values)
