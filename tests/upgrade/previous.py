"""The product's code of another commit, taken from the history that this checkout has, for workers that run it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections import Counter
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parents[2]

VARIABLE = "MIXED_FLEET"
"""Names the commit or the tag. Where it is set, half of the workers that tests start are of that code."""
DEFAULT = "HEAD~1"

PACKAGES = ("orchestrator_client", "orchestrator_worker")
"""What is taken: steps find the functions of tests in this checkout."""


class NoPrevious(Exception):
    """That code cannot be had here."""


class Mixture:
    """Which of the workers that tests start are of the other code: of those in one folder the first, the third, …"""

    def __init__(self) -> None:
        self.tree: Path | None = None
        self._started: Counter[Path] = Counter()

    def next_tree(self, folder: Path) -> Path | None:
        """Where the next worker of this folder gets its code from; None for this checkout."""
        self._started[folder] += 1
        return self.tree if self._started[folder] % 2 else None


mixture = Mixture()
"""That of this process."""


def is_wanted() -> bool:
    """Whether all fleets are to be mixed."""
    return bool(os.environ.get(VARIABLE))


def unpack(folder: Path) -> None:
    """Put the packages of the previous commit into a folder.

    Raises:
        NoPrevious: there is none.
    """
    wanted = os.environ.get(VARIABLE) or DEFAULT
    found = _git("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}")
    if found.returncode:
        raise NoPrevious(f"there is no {wanted} here: no Git, no history, or a shallow clone of it")
    commit = found.stdout.decode().strip()
    archive = _git("archive", "--format=tar", commit, *PACKAGES)
    assert archive.returncode == 0, archive.stderr.decode()
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as tree:
        tree.extractall(folder, filter="data")
    assert _imported(folder).samefile(folder / "orchestrator_worker" / "__init__.py")


def python_path(tree: Path | None) -> str:
    """Where a worker looks for packages: in the other tree first, and here for what tests bring."""
    return os.pathsep.join(dict.fromkeys(str(folder) for folder in (tree, ROOT) if folder is not None))


def _imported(folder: Path) -> Path:
    """Where a worker that is started there gets its code from."""
    command = [sys.executable, "-c", "import orchestrator_worker, tests; print(orchestrator_worker.__file__)"]
    environment = {**os.environ, "PYTHONPATH": python_path(folder)}
    return Path(
        subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=True, text=True).stdout.strip()
    )


def _git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False)
    except FileNotFoundError:
        raise NoPrevious("there is no Git here") from None
