"""Start Flower with the pages of this room, on the application of the workers. Arguments are Flower's own."""

from __future__ import annotations

import sys

from celery.bin.celery import celery

from orchestrator_client.flower.site import install

APPLICATION = "orchestrator_worker.tasks"
"""By name: the client does not import it; Celery does, as for every command of its own."""

if __name__ == "__main__":
    install()
    sys.exit(celery(["-A", APPLICATION, "flower", *sys.argv[1:]], auto_envvar_prefix="CELERY"))
