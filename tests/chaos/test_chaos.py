"""The faults that are done on every change, one after the other to one fleet, each judged by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos import oracle
from tests.chaos.catalogue import BY_ID, ON_EVERY_CHANGE, ROWS
from tests.chaos.driver import strike
from tests.chaos.scene import Scene
from tests.chaos.table import ROOT

pytestmark = pytest.mark.xdist_group("chaos")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Two workers, replaced when a fault has ended them. Afterwards no process of theirs is left."""
    with Scene(tmp_path_factory.mktemp("chaos"), seed=1) as scene:
        yield scene
        oracle.judge_processes(scene)


@pytest.mark.parametrize("id", ON_EVERY_CHANGE)
def test_a_run_ends_as_it_should_whatever_happens(scene: Scene, id: str) -> None:
    row = BY_ID[id]
    strike(scene, row, row.workload)
    oracle.judge(scene)


def test_every_fault_of_the_catalogue_is_answered() -> None:
    assert [row.id for row in ROWS] == [f"F{number}" for number in range(1, 78)]
    assert [row.id for row in ROWS if not (row.strike or row.shown_by or row.because)] == []


@pytest.mark.parametrize("test", sorted({test for row in ROWS for test in row.shown_by}))
def test_what_a_row_names_is_a_test(test: str) -> None:
    path, *names = test.split("::")
    text = (ROOT / path).read_text()
    assert all(f"class {name}" in text or f"def {name}(" in text for name in names)
