"""Children that die with their parent, also when that is killed with -9."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1


def tether_to(parent: int) -> None:
    """Die when this process does. Linux only; elsewhere a child notices when its pipe to the parent closes."""
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
