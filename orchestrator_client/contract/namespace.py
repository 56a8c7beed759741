"""The namespace of this process: what keeps fleets apart that share a Redis.

Every key, queue and channel of a namespace begins with `ns:<namespace>:`, so that one pattern of a Redis user holds all
of it, and no pattern of another namespace does. Without one, names are as they always were.
"""

from __future__ import annotations

import os
import re

NAMESPACE_VARIABLE = "ORCHESTRATOR_NAMESPACE"
"""Read once, as the process starts: by clients, workers and Flower alike."""

NAMESPACE = os.environ.get(NAMESPACE_VARIABLE, "")
PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def prefix_of(namespace: str) -> str:
    """How all names of a namespace begin."""
    return f"ns:{namespace}:" if namespace else ""


PREFIX = prefix_of(NAMESPACE)
"""Of all that this process touches in Redis."""


def whereabouts() -> str:
    """Where a run was looked for, for a sentence."""
    return f"namespace '{NAMESPACE}' of this store" if NAMESPACE else "this store"
