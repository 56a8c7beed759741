"""What people do to runs from the pages: every one of them with a login, or on this machine, and the XSRF token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tornado.web import HTTPError

from orchestrator_client.client import Run
from orchestrator_client.contract.errors import OrchestratorError, StoreUnavailable
from orchestrator_client.flower.guard import Action

MOST_AT_ONCE = 500
"""Runs that one request may name."""


class OneRun(Action):
    """Does one thing to one run."""

    async def post(self, run: str, verb: str) -> None:
        body = self.body()
        self.write_json({"said": await self.read(partial(self._done, run, verb, body))})

    def _done(self, run: str, verb: str, body: Mapping[str, Any]) -> str:
        with self.acting() as client:
            found = client.run(run)
            if verb == "answer":
                asked = found.answer(str(body.get("step") or ""), body.get("value"), self.caller)
                return f"{asked.instance} is answered"
            return PLAIN[verb](found)


class ManyRuns(Action):
    """Does one thing to several runs; what one of them refuses is said, and the others go on."""

    async def post(self, verb: str) -> None:
        runs = self.body().get("runs")
        if not isinstance(runs, list) or not 0 < len(runs) <= MOST_AT_ONCE:
            raise HTTPError(400, reason=f"Name 1 to {MOST_AT_ONCE} runs")
        done, refused = await self.read(partial(self._each, [str(run) for run in runs], PLAIN[verb]))
        self.write_json({"done": done, "refused": refused})

    def _each(self, runs: list[str], verb: Callable[[Run], str]) -> tuple[list[str], Mapping[str, str]]:
        done: list[str] = []
        refused: dict[str, str] = {}
        with self.acting() as client:
            for run in dict.fromkeys(runs):
                try:
                    verb(client.run(run))
                except StoreUnavailable:
                    raise
                except OrchestratorError as error:
                    refused[run] = str(error)
                else:
                    done.append(run)
        return done, refused


def _cancel(run: Run) -> str:
    met = run.cancel()
    return f"it had ended before: {met}" if met.ended else "its end is asked for"


def _pause(run: Run) -> str:
    met = run.pause()
    if met.state.ended:
        return f"it had ended before: {met.state}"
    return "it was paused before" if met.paused else "paused" if met.wish == "run" else "it is being cancelled"


def _resume(run: Run) -> str:
    met = run.resume()
    if met.state.ended:
        return f"it has ended and cannot go on: {met.state}"
    return "it goes on" if met.paused else "it was not paused" if met.wish == "run" else "it is being cancelled"


PLAIN: Mapping[str, Callable[[Run], str]] = {"cancel": _cancel, "pause": _pause, "resume": _resume}
"""What needs nothing but the run, by its word in the address; each says what it did."""
