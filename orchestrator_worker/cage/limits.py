"""What holds the program of a restricted call."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator_client.contract.project import CageLimits


@dataclass(frozen=True, slots=True)
class Cage:
    """The limits of one call, and how far it is set apart."""

    limits: CageLimits = field(default_factory=CageLimits)
    network: bool = False
    namespaces: bool = True
    """Whether to ask the kernel for namespaces; without, what keeps the network away is missing."""
