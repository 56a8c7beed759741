"""Celery's Redis backend, which counts the parts of chords, on connections of ours."""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend

from orchestrator_worker.connections import Connections


class Backend(RedisBackend):  # type: ignore[misc]
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, connection_pool=Connections, **options)
