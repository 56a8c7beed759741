"""The code before this one, taken from the history that this checkout has."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

VARIABLE = "ORCHESTRATOR_PREVIOUS"
"""Names the commit or the tag."""
DEFAULT = "HEAD~1"


def unpack(folder: Path) -> None:
    """Put the tree of the previous commit into a folder; skips the test where there is none."""
    wanted = os.environ.get(VARIABLE, DEFAULT)
    found = _git("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}")
    if found.returncode:
        pytest.skip(f"there is no {wanted} here: no Git, no history, or a shallow clone of it")
    commit = found.stdout.decode().strip()
    archive = _git("archive", "--format=tar", commit)
    assert archive.returncode == 0, archive.stderr.decode()
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tree:
        tree.extractall(folder, filter="data")
    assert _imported(folder).samefile(folder / "orchestrator_worker" / "__init__.py")


def _imported(folder: Path) -> Path:
    """Where a worker that is started there gets its code from."""
    command = [sys.executable, "-c", "import orchestrator_worker; print(orchestrator_worker.__file__)"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return Path(
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, text=True).stdout.strip()
    )


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no Git here")
