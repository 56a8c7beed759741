"""What tests ask the system for: whether a process has ended, and a port that nobody else is given."""

from __future__ import annotations

import socket

import psutil


def has_ended(process: int | psutil.Process) -> bool:
    """Whether it is no more, or only its exit status is; also where it ends between two looks."""
    try:
        looked_at = psutil.Process(process) if isinstance(process, int) else process
        return not looked_at.is_running() or bool(looked_at.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def hold_port() -> int:
    """A port at which nobody listens, and which the kernel gives to nobody else: it stays bound for as long as this
    process lives. Who connects is refused; a server that reuses addresses, as they all do, may listen."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    port = int(bound.getsockname()[1])
    bound.detach()
    return port
