"""A pool's children find loaded what they need, so that one that takes a dead one's place is there at once."""

from __future__ import annotations

import json
import subprocess
import sys

LOADED_SINCE_THE_FORK = """
import celery.app.log, celery.backends.base, cffi, json, sys  # as a worker has them, whose extras need cffi
from celery import Celery
from orchestrator_worker.process.pool import TaskPool

def loaded():
    return sorted(sys.modules)

app = Celery("pool", set_as_current=False)
pool = TaskPool(1, app=app, initargs=(app, "host"))
pool.start()
before = set(sys.modules)
print(json.dumps([name for name in pool._pool.apply_async(loaded).get(60) if name not in before]))
pool.terminate()
"""


def test_a_child_imports_nothing_before_its_first_call() -> None:
    command = [sys.executable, "-c", LOADED_SINCE_THE_FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
