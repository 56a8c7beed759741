"""Who writes and who reads each variable of a run. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property

from orchestrator_client.contract.plan import Plan, Step
from orchestrator_client.contract.reading import EVERY, names_of_outputs, names_read_by
from orchestrator_client.variables import walk


class Uses:
    """Who writes and who reads every name, as the plan's templates tell."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def writers(self, path: str) -> tuple[str, ...]:
        """Steps that write a step's value (itself), or a channel."""
        return tuple(self._writers.get(path, ()))

    def readers(self, path: str) -> tuple[str, ...]:
        """Steps and outputs that name it."""
        every = self._readers.get(EVERY, []) if path not in self._steps else []
        return tuple(dict.fromkeys([*self._readers.get(path, ()), *every]))

    @cached_property
    def _steps(self) -> Mapping[str, tuple[Step, Mapping[str, str]]]:
        return {path: (step, known) for path, step, known in walk(self._plan.steps)}

    @cached_property
    def _writers(self) -> Mapping[str, list[str]]:
        writers: dict[str, list[str]] = {path: [path] for path in self._steps}
        for name in self._plan.channels or ():
            nodes = (step for step in self._plan.steps if step.updates_state)
            writers[name] = [step.id for step in nodes if step.writes in (None, name)]
        return writers

    @cached_property
    def _readers(self) -> Mapping[str, list[str]]:
        readers: dict[str, list[str]] = defaultdict(list)
        for path, (step, known) in self._steps.items():
            for name in step.reads:
                readers[known.get(name, name)].append(path)
            for name in names_read_by(step, self._plan):
                if name not in known:
                    readers[name].append(path)
        steps = self._plan.step_by_id
        for output, template in self._plan.outputs.items():
            one = self._plan.model_copy(update={"outputs": {output: template}})
            for name in names_of_outputs(one):
                if name not in ("steps", "outputs") or name in steps:
                    readers[name].append(f"outputs.{output}")
        return readers
