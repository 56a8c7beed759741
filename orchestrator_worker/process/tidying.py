"""Working folders of runs that the store has forgotten. Each machine tidies its own disk."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator_worker.settings import Settings
from orchestrator_worker.store import Store

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0

MOST_FOLDERS = 100_000
"""Looked at in one round."""


class Tidying:
    """Removes folders, a round a minute: of runs that this store once had. It knows no others for its own."""

    def __init__(self, store: Store, config: Settings) -> None:
        self._store, self._config = store, config
        self._next = time.monotonic() + EVERY_SECONDS

    def beat(self) -> None:
        """A round, if it is time."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_SECONDS
            self.tidy()

    def tidy(self) -> list[Path]:
        """One round; returns the folders that are gone."""
        folders = dict(_folders(self._config.workdir))
        gone = [folders[run] for run in self._store.forgotten(list(folders))]
        for folder in gone:
            shutil.rmtree(folder, ignore_errors=True)
            logger.info("%s: its run is gone from the store, and so is the folder", folder)
        return gone


def _folders(workdir: str) -> Iterator[tuple[str, Path]]:
    """Each folder that may be a run's, by its id. None where runs share a folder, or the id stands further up."""
    pattern = Path(workdir).absolute()
    before, found, after = pattern.name.partition("{run}")
    if not found or "{run}" in str(pattern.parent) or not pattern.parent.is_dir():
        return
    for _, folder in zip(range(MOST_FOLDERS), pattern.parent.iterdir(), strict=False):
        name = folder.name
        if name.startswith(before) and name.endswith(after) and folder.is_dir() and not folder.is_symlink():
            yield name.removeprefix(before).removesuffix(after), folder
