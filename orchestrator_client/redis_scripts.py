"""The scripts of a release, loaded into Redis by whoever may, so that nobody else need be able to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import NoReturn

import redis

from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.scripts import __name__ as SHARED_SCRIPTS
from orchestrator_client.contract.scripts import digest, source
from orchestrator_client.store.connection import CLIENT_SCRIPTS

PACKAGES = (SHARED_SCRIPTS, CLIENT_SCRIPTS, "orchestrator_worker.scripts")

LOOK_SECONDS = 1.0
"""Between two looks whether Redis still has them: it forgets them when it starts anew."""


def scripts() -> Iterator[str]:
    """Every script that this release runs: its own, Celery's and kombu's."""
    from celery.backends import redis as backend
    from kombu.transport import redis as transport

    for package in PACKAGES:
        for file in files(package).iterdir():
            if file.name.endswith(".lua") and "\n-- Reply: " in file.read_text("utf-8"):
                yield source(file.name.removesuffix(".lua"), package)
    yield from (text for name, text in vars(backend).items() if name.startswith("CHORD_") and name.endswith("_LUA"))
    yield from (transport.REFRESH_BINDING, transport.SWEEP_BINDINGS)


class Loader:
    """Sees to it that one Redis has them."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_timeout=10.0, socket_connect_timeout=2.0)
        self._scripts = {digest(text): text for text in scripts()}

    def load(self) -> int:
        """Load those that are missing; returns how many.

        Raises:
            StoreUnavailable: Redis cannot be reached, or does not let this user load any.
        """
        try:
            known = self._redis.script_exists(*self._scripts)
            missing = [text for text, there in zip(self._scripts.values(), known, strict=True) if not there]
            for text in missing:
                self._redis.script_load(text)
        except redis.RedisError as error:
            raise StoreUnavailable(f"cannot load scripts: {error}") from error
        return len(missing)

    def keep(self, told: Callable[[str], None]) -> NoReturn:
        """Load them whenever they are missing, until somebody ends this process. What becomes of it is told."""
        before = ""
        while True:
            try:
                said = f"loaded {count}" if (count := self.load()) else ""
            except StoreUnavailable as error:
                said = str(error)
            if said and said != before:
                told(said)
            before = said
            time.sleep(LOOK_SECONDS)

    def close(self) -> None:
        self._redis.close()
