"""A real worker whose process dies when it would publish for the n-th time: after a settle, before the messages.

usage: python -m tests.crashing_worker N FLAG-FILE worker-options…

Only the first process to create FLAG-FILE dies.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress

from orchestrator_client.contract.message import Hint
from orchestrator_worker.__main__ import main
from orchestrator_worker.canvas import Canvas

dies_at, flag, *options = sys.argv[1:]
publish, published = Canvas.publish, 0
choosing = threading.Lock()


def publish_or_die(self: Canvas, hints: Iterable[Hint]) -> None:
    global published
    with choosing:  # beside one that dies, no other thread publishes, and so none does what would be done again
        published += 1
        if published == int(dies_at):
            with suppress(FileExistsError), open(flag, "x"):
                os.killpg(os.getpgid(0), 9)
    publish(self, hints)


Canvas.publish = publish_or_die  # type: ignore[method-assign]
sys.exit(main(options))
