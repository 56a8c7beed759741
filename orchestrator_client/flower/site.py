"""Puts the pages into Flower: their addresses before its own, a tab in its navigation, a link on its page of a task."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flower import urls
from tornado.template import Loader, Template
from tornado.web import StaticFileHandler, url

from orchestrator_client import metrics
from orchestrator_client.client import Client
from orchestrator_client.contract import names
from orchestrator_client.flower import actions, limits, lists, runs
from orchestrator_client.flower.feed import Feed
from orchestrator_client.flower.guard import Room, hosts_of
from orchestrator_client.flower.listing import Lists
from orchestrator_client.store import Connection
from orchestrator_client.store.pages import PageStore

HERE = Path(__file__).parent

HOSTS_VARIABLE = "ORCHESTRATOR_FLOWER_HOSTS"

ADDITIONS = {
    "navbar.html": ("      </ul>\n\n      <ul", '      {% include "orchestrator/tabs.html" %}\n'),
    "task.html": ('    <div class="detail-actions">\n', "{% raw run_link(reverse_url, task) %}\n"),
}
"""Template of Flower -> the one place in it (before the first, behind the second) where something of ours is added."""


class Assets(StaticFileHandler):
    """Our scripts and styles. A browser asks each time whether it has the newest, since they come with the package."""

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002 - Tornado's signature
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")


class Templates(Loader):
    """Flower's templates with our additions, and ours under `orchestrator/`."""

    def resolve_path(self, name: str, parent_path: str | None = None) -> str:
        return name if name.startswith("orchestrator/") else super().resolve_path(name, parent_path)

    def _create_template(self, name: str) -> Template:
        if name.startswith("orchestrator/"):
            path = HERE / "templates" / name.removeprefix("orchestrator/")
            return Template(path.read_bytes(), name=name, loader=self)
        text = Path(self.root, name).read_text()
        if name in ADDITIONS:
            text = added_to(name, text)
        return Template(text, name=name, loader=self)


def added_to(name: str, text: str) -> str:
    """A template of Flower with what we add to it.

    Raises:
        LookupError: this release of Flower has no such place in it.
    """
    place, addition = ADDITIONS[name]
    if text.count(place) != 1:
        raise LookupError(f"this release of Flower has another {name}; the pages of runs fit Flower 2.2")
    return text.replace(place, addition + place if name == "navbar.html" else place + addition)


def run_link(reverse_url: Any, task: Any) -> str:
    """HTML: from Flower's page of a task to the run, and the step, that it is; empty for tasks of others."""
    run, colon, instance = str(task.uuid).partition(":")
    if not colon and task.name not in (names.RUN_TASK, names.CLOSE_TASK):
        return ""
    place = f"#step={quote(instance, safe='')}" if instance else ""
    target = escape(reverse_url("orchestrator-run", run) + place)
    return f'<a class="btn btn-outline-primary" id="orchestrator-run" href="{target}">Show in its run</a>'


def install(redis_url: str | None = None) -> None:
    """Add everything to Flower, before its application is made.

    Raises:
        LookupError: this release of Flower is not the one that this fits.
    """
    client = Client(redis_url)
    store = PageStore(Connection(client.url, actor=""))
    room = Room(client, store, Feed(store), Lists(store), hosts_of(os.environ.get(HOSTS_VARIABLE, "")))
    templates = str(urls.settings["template_path"])
    for name in ADDITIONS:
        added_to(name, Path(templates, name).read_text())
    urls.settings["template_loader"] = Templates(templates, namespace={"run_link": run_link})
    # Before Flower's own, of which one matches everything.
    urls.handlers[:0] = handlers_of(room)
    if metrics.are_configured():
        client.export_metrics()


def handlers_of(room: Room) -> list[Any]:
    """Our addresses; Flower puts its URL prefix before each."""
    given = {"room": room}
    run = r"/run/([^/]+)"
    return [
        url(r"/runs", lists.RunsPage, given, name="orchestrator-runs"),
        url(r"/runs/stream", lists.RunsStream, given, name="orchestrator-runs-stream"),
        url(r"/runs/(cancel|pause|resume|retry)", actions.ManyRuns, given),
        url(run, runs.RunPage, given, name="orchestrator-run"),
        url(rf"{run}/stream", runs.RunStream, given),
        url(rf"{run}/step", runs.StepOfRun, given),
        url(rf"{run}/value", runs.WholeValue, given),
        url(rf"{run}/inputs", runs.InputsOfRun, given),
        url(rf"{run}/(answer|cancel|pause|resume|retry)", actions.OneRun, given),
        url(r"/limits", limits.LimitsPage, given, name="orchestrator-limits"),
        url(r"/limits/stream", limits.LimitsStream, given, name="orchestrator-limits-stream"),
        url(r"/orchestrator/(.*)", Assets, {"path": str(HERE / "static")}, name="orchestrator-asset"),
    ]
