from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.simulation.campaign import simulated
from tests.simulation.wire import Wire, private_redis
from tests.simulation.world import World


@pytest.fixture(scope="session")
def wire() -> Iterator[Wire]:
    """A Redis for all simulations of this process."""
    with private_redis() as wire:
        yield wire


@pytest.fixture
def world(wire: Wire) -> Iterator[World]:
    """A world of its own, and a collector that does not look again and again at what other tests have left."""
    gc.collect()
    gc.freeze()
    with simulated(wire) as world:
        yield world
    gc.unfreeze()
