"""Dead letters: messages that no worker could take, kept for a while with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from orchestrator_client.contract.plan import Json

KEPT = 500
"""Letters that are kept; the oldest go first."""

KEPT_BYTES = 16 * 1024
"""Longest message that is kept whole, and so can be sent again. Messages of ours stay under 1 KB."""

EXCERPT_BYTES = 240
"""What is kept of any message, to be looked at."""

Fields = dict[str, str | bytes | int]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message that was refused."""

    id: str
    """Of the stream; letters are in the order of their ids."""
    at_ms: int
    """By Redis's clock, since 1970."""
    queue: str
    reason: str
    worker: str
    """Who refused it: host and process id."""
    size_bytes: int
    """Length of the message."""
    excerpt: str
    """How it begins; what is no text is escaped."""
    message: str | None = None
    """All of it, as `excerpt` is written; None if it is too long to be kept, had a secret in it, or was not asked
    for."""

    @staticmethod
    def to_stream(queue: str, reason: str, worker: str, raw: bytes, masked: bytes) -> Fields:
        """What a worker writes. `masked` is the message without secrets: one that had any is not kept whole, since what
        is left of it is another message."""
        fields: Fields = {"queue": queue, "reason": reason, "worker": worker, "bytes": len(raw)}
        is_kept = len(raw) <= KEPT_BYTES and masked == raw
        return fields | ({"message": raw} if is_kept else {"excerpt": masked[:EXCERPT_BYTES]})

    @classmethod
    def from_stream(cls, entry: str, fields: Mapping[str, bytes]) -> DeadLetter:
        """What it wrote, with the whole message where that was kept."""
        whole = fields.get("message")
        begins = fields["excerpt"] if whole is None else whole[:EXCERPT_BYTES]
        queue, reason, worker = (fields[name].decode() for name in ("queue", "reason", "worker"))
        at_ms, message = int(entry.partition("-")[0]), None if whole is None else _shown(whole)
        return cls(entry, at_ms, queue, reason, worker, int(fields["bytes"]), _shown(begins), message)

    @property
    def cut(self) -> DeadLetter:
        """The same with the excerpt alone."""
        return replace(self, message=None)

    def as_dict(self) -> dict[str, Json]:
        """The same for `--json`."""
        return asdict(self)


def _shown(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
