"""Celery's remote control, whose messages nobody signs: a worker answers questions, and takes no orders."""

from __future__ import annotations

from typing import Any

from celery.worker.control import Panel

ANSWERED = frozenset(
    {
        "ping",
        "stats",
        "clock",
        "active",
        "active_queues",
        "registered",
        "reserved",
        "scheduled",
        "revoked",
        "query_task",
        "heartbeat",
        "enable_events",
    }
)
"""What Flower and `celery inspect` ask. The last two have a worker send events, which cost a little and change nothing.
Not there: shutdown, revoke, terminate, limits, pools, queues.
"""


def take_no_orders() -> None:
    """Forget all other commands of Celery's, and keep the configuration to ourselves."""
    for names in (Panel.data, Panel.meta):
        for name in set(names) - ANSWERED:
            del names[name]
    Panel.data["conf"] = _nothing


def _nothing(*_: Any, **__: Any) -> dict[str, Any]:
    """What Flower is told of the configuration, which it asks for."""
    return {}
