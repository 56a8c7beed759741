"""Existing pipeline files load: those of a folder beside the repository, which holds none of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.loader import dialect, load

FOLDER = Path(os.environ.get("ORCHESTRATOR_COMPAT") or Path(__file__).parents[2].parent / "shared" / "compat")
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.skipif(not FILES, reason=f"no pipeline files in {FOLDER}; name a folder in ORCHESTRATOR_COMPAT")
@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_a_file_loads_but_for_tools_that_are_not_there(path: Path) -> None:
    assert _problems_of(path) <= {f"tool '{tool}' is not in this release" for tool in dialect.TOOLS_LATER}


def _problems_of(path: Path) -> set[str]:
    """What keeps a file from running."""
    try:
        load(path)
    except PlanInvalid as error:
        return {problem.message for problem in error.problems}
    return set()
