"""Children that die with their parent, also when that is killed with -9, and orphans that do not outlive their step.

Linux only. Elsewhere a child notices when its pipe to the parent closes, and orphans are not found.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

SUPERVISOR_VARIABLE = "ORCHESTRATOR_SUPERVISOR"
"""Process id of a worker's supervisor, with which it ends."""

_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36


def tether_to(parent: int) -> None:
    """Die when this process does."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def has_exited(child: int | None) -> bool:
    """Whether a child of this process is dead, without taking its exit status from whoever waits for it."""
    if child is None:
        return False
    try:
        return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def is_stopped(child: int) -> bool:
    """Whether a signal keeps a child of this process from running, until another lets it go on."""
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, child, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    return False


def adopt_orphans() -> None:
    """Become the parent of what dead children leave running, instead of init."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


def kill_orphans() -> None:
    """Kill what dead children left running.

    Children of this process are in its session; a tool's commands have sessions of their own, so one that is a child
    of this process has lost the process that started it. Not for a worker whose own threads run tools.
    """
    for pid in children():
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) != os.getsid(0):
                os.killpg(os.getpgid(pid), signal.SIGKILL)
                os.waitpid(pid, os.WNOHANG)


def children() -> list[int]:
    """The children of this process's main thread; none where the kernel does not say."""
    listed = Path("/proc/self/task", str(os.getpid()), "children")
    return [int(pid) for pid in listed.read_text().split()] if listed.exists() else []
