"""Starts Python under limits: `python cage.py RLIMIT_CPU=30 …` takes them upon itself, then becomes a new Python.

A script by itself, so that it can be started without this project on the path. The new Python reads its program from
stdin and sees neither the user's site folder nor any PYTHON variable. A limit outlives the change, and only root can
raise it again.
"""

import os
import resource
import sys
from pathlib import Path

PROCESSES = "RLIMIT_NPROC"


def main(limits: list[str]) -> None:
    """Take each limit, `NAME=value` as `resource` calls it, but none above what holds already."""
    for limit in limits:
        name, _, value = limit.partition("=")
        kind, wanted = getattr(resource, name), int(value)
        if name == PROCESSES:
            if not (tasks := _tasks_of_user()):
                continue  # a system that does not tell: a limit by itself might be below what the user has
            wanted += tasks
        hard = resource.getrlimit(kind)[1]
        allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (allowed, allowed))
    # Any encoding of the environment's would depend on the machine; -X utf8 does not.
    os.execv(sys.executable, [sys.executable, "-I", "-X", "utf8", "-"])  # noqa: S606  # no shell is wanted


def _tasks_of_user() -> int:
    """Processes and threads that this user has now: the system counts those of all his programs together."""
    # /proc is Linux's, and tells of this container alone; elsewhere nothing is found, and no limit set.
    user, tasks = os.getuid(), 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user:
                tasks += len(os.listdir(process / "task"))
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        except PermissionError:
            tasks += 1  # its threads are hidden, as those of another container's may be
    return tasks


if __name__ == "__main__":
    main(sys.argv[1:])
