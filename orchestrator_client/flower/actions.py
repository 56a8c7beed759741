"""What people do to runs from the pages: every one of them with a login, or on this machine, and the XSRF token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tornado.web import HTTPError

from orchestrator_client.client import Client
from orchestrator_client.contract.errors import OrchestratorError, StoreUnavailable
from orchestrator_client.contract.run import Met, Wish
from orchestrator_client.flower.guard import Action

MOST_AT_ONCE = 500
"""Runs, or steps of one run, that one request may name."""

Said = dict[str, Any]
"""`said`: what was done, in words; `run`: the run that was begun by it, if one was."""


class OneRun(Action):
    """Does one thing to one run."""

    async def post(self, run: str, verb: str) -> None:
        body = self.body()
        self.write_json(await self.read(partial(self._done, run, verb, body)))

    def _done(self, run: str, verb: str, body: Mapping[str, Any]) -> Said:
        with self.acting() as client:
            match verb:
                case "answer":
                    asked = client.run(run).answer(str(body.get("step") or ""), body.get("value"), self.caller)
                    return {"said": f"{asked.instance} is answered"}
                case "retry":
                    return _retry(client, run, _names(body, "steps", least=0))
                case _:
                    return PLAIN[verb](client, run)


class ManyRuns(Action):
    """Does one thing to several runs; what one of them refuses is said, and the others go on."""

    async def post(self, verb: str) -> None:
        runs = _names(self.body(), "runs", least=1)
        done, refused = await self.read(partial(self._each, runs, PLAIN[verb]))
        self.write_json({"done": done, "refused": refused})

    def _each(self, runs: list[str], verb: Callable[[Client, str], Said]) -> tuple[list[str], Mapping[str, str]]:
        done: list[str] = []
        refused: dict[str, str] = {}
        with self.acting() as client:
            for run in dict.fromkeys(runs):
                try:
                    verb(client, run)
                except StoreUnavailable:
                    raise
                except OrchestratorError as error:
                    refused[run] = str(error)
                else:
                    done.append(run)
        return done, refused


def _names(body: Mapping[str, Any], what: str, least: int) -> list[str]:
    """The runs or steps that a request names.

    Raises:
        HTTPError: it names too many, too few, or none at all where some are needed.
    """
    given = body.get(what, [])
    if not isinstance(given, list) or not least <= len(given) <= MOST_AT_ONCE:
        raise HTTPError(400, reason=f"Name {least} to {MOST_AT_ONCE} {what}")
    return [str(name) for name in given]


def _cancel(client: Client, run: str) -> Said:
    met = client.run(run).cancel()
    return {"said": f"it had ended before: {met}" if met.ended else "its end is asked for"}


def _pause(client: Client, run: str) -> Said:
    return {"said": _wished(client.run(run).pause(), paused="it was paused before", otherwise="paused")}


def _resume(client: Client, run: str) -> Said:
    return {"said": _wished(client.run(run).resume(), paused="it goes on", otherwise="it was not paused")}


def _wished(met: Met, paused: str, otherwise: str) -> str:
    """What a wish came to, by whether the run was paused."""
    if met.state.ended:
        return f"it had ended before: {met.state}"
    if met.wish is Wish.CANCEL:
        return "it is being cancelled"
    return paused if met.paused else otherwise


def _retry(client: Client, run: str, steps: list[str] | tuple[str, ...] = ()) -> Said:
    begun = client.retry(run, steps)
    return {"said": f"tried again as {begun.id}", "run": begun.id}


PLAIN: Mapping[str, Callable[[Client, str], Said]] = {
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
}
"""What needs nothing but the run, by its word in the address."""
