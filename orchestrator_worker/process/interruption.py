"""Stopping a function that runs in a thread, from another one."""

from __future__ import annotations

import ctypes


class Interrupted(BaseException):
    """Raised inside a call to stop it. Not an Exception, so that a step's own `except Exception` lets it pass."""


def raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise an exception in a thread when it next executes Python; None takes one back that it has not met yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(error) if error else None)
