"""Who acts, for the audit log and for answers."""

from __future__ import annotations

import getpass
import os
import socket

from orchestrator_client.contract.audit import WHO_CHARACTERS

ACTOR_VARIABLE = "ORCHESTRATOR_ACTOR"
"""Who acts, where the user of the process says too little: a service, or a person behind one."""


def actor() -> str:
    """What `ORCHESTRATOR_ACTOR` says, else `user@host`."""
    return (os.environ.get(ACTOR_VARIABLE) or f"{user()}@{socket.gethostname()}")[:WHO_CHARACTERS]


def user() -> str:
    """The name of whoever runs this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
