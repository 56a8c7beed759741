"""A client in a process of its own, which may die at any point: submit a chain by its idempotency key."""

import sys

from orchestrator_client.client import Client
from tests.chaos.workloads import chain

with Client() as client:
    print(client.submit(chain(3), idempotency_key=sys.argv[1]).id)
