"""The working folder of a run that keeps results of another: it begins with a copy of what that one left in its own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def begin_with(folder: Path, origin: Path) -> None:
    """Make the folder a copy of another, whole or not at all, unless it is there already. Links are copied as links.

    Several processes may do this at once: the first to have a whole copy gives its own.

    Raises:
        OSError: it cannot be copied.
    """
    if folder.exists() or not origin.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    half_copied = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(half_copied, ignore_errors=True)
    try:
        shutil.copytree(origin, half_copied, symlinks=True)
        half_copied.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(half_copied, ignore_errors=True)
