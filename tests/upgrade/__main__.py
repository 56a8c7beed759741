"""`python -m tests.upgrade freeze`: write down what this release leaves in a store, for all later ones to read."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from orchestrator_client.client import Client
from tests.conftest import RedisServer
from tests.upgrade.dump import dumped
from tests.upgrade.fields import fields_now
from tests.upgrade.releases import FOLDER, Release, seen
from tests.upgrade.scene import plans, play


def freeze(folder: Path) -> None:
    """Play the scene on a Redis and a worker of its own, and write what is left."""
    with TemporaryDirectory() as temporary:
        place = Path(temporary)
        server = RedisServer(place).start()
        try:
            with Client(server.url) as client, redis.Redis.from_url(server.url) as connection:
                runs = play(server.url, place)
                read = {run.id: seen(client, run) for run in runs.values()}
                Release(folder).write(plans(), dumped(connection), read, fields_now())
        finally:
            server.kill()


def main(arguments: list[str]) -> int:
    folder = FOLDER / version("orchestrator")
    if arguments != ["freeze"]:
        print("usage: python -m tests.upgrade freeze", file=sys.stderr)
        return 2
    if folder.exists():
        print(f"{folder} is there: what was released stays as it is; else remove it first", file=sys.stderr)
        return 1
    freeze(folder)
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
