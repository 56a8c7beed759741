"""How far tools are trusted."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """How far a tool is trusted, and so what it may touch."""

    TRUSTED = "trusted"
    """Everything that its worker may."""
    STANDARD = "standard"
    """Files of the run's folder and those allowed; public addresses and those allowed."""
    RESTRICTED = "restricted"
    """A child process with limits, an empty environment, its own folder and, where the kernel allows, no network."""

    def stricter(self, other: Level) -> Level:
        """Of two levels, the one that trusts less."""
        return max(self, other, key=list(Level).index)
