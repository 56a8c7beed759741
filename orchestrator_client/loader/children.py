"""Pipelines that a pipeline runs: found and compiled with it, so that nothing is found wrong late.

A worker has no loader and perhaps not these files; a plan therefore carries all that its steps run, and all that those
run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from orchestrator_client.contract import caps, template
from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.contract.inputs import coerce
from orchestrator_client.contract.plan import Plan
from orchestrator_client.loader import tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.references import has_template
from orchestrator_client.loader.text import source
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, compose, kind_of, plain

PIPELINE = "pipeline"
"""The parameter that says what is run."""

FOLDERS = (".", "examples", "pipelines")
"""Where a pipeline is looked for, behind the folder of the file that names it."""

_SUFFIXES = (".yaml", ".yml")
_INLINE = re.compile(r"\s*(id|name|steps|parameters|inputs|description|version)\s*:")


class Read(Protocol):
    """Reads a pipeline from its node."""

    def __call__(self, root: Node | None, problems: Problems, family: Family, given: Collection[str]) -> Plan: ...


@dataclass(frozen=True, slots=True)
class Family:
    """A file, those around it, and the pipelines that they have been found to run."""

    file: str
    read: Read
    chain: tuple[str, ...] = ()
    """The files around, outermost first, and this one, each by its whole path."""
    plans: dict[str, Plan] = field(default_factory=dict)
    """Shared by all of a family: name -> plan."""
    found: dict[tuple[str, frozenset[str]], str | None] = field(default_factory=dict)
    """Shared too: path and names of given inputs -> name, None where it cannot run."""

    @classmethod
    def of(cls, file: str, read: Read) -> Family:
        """That of a file which nobody runs."""
        return cls(file, read, (str(Path(file).absolute()),))

    @property
    def is_root(self) -> bool:
        return len(self.chain) == 1

    def within(self, file: str, path: str) -> Family:
        """That of a pipeline which this one runs."""
        return replace(self, file=file, chain=(*self.chain, path))


def settings_of(step: Mapping) -> Mapping:
    """The parameters of a step whose type says that it runs a pipeline: `inputs` are that pipeline's."""
    given = step.get("parameters")
    own = {key: step.entries[key] for key in (PIPELINE, "inputs") if key in step.entries}
    return Mapping(*step.place, {**(given.entries if isinstance(given, Mapping) else {}), **own})


def refuse_beside_tool(step: Mapping, problems: Problems) -> None:
    """A pipeline beside a tool belongs among its parameters."""
    if PIPELINE in step.entries:
        message = "'pipeline' in a step that runs none"
        remedy = "write type: sub_pipeline beside it, or put it under parameters"
        problems.error(Code.WRONG_VALUE, message, step.place_of(PIPELINE), remedy)


def taken(settings: Mapping, family: Family | None, inputs: Collection[str], problems: Problems) -> tuple[Mapping, str]:
    """The parameters of a step that runs a pipeline, without that, and its name among the plan's children.

    `inputs` are those of the pipeline around. What is wrong is added; then the name is empty.
    """
    rest = Mapping(*settings.place, {key: entry for key, entry in settings.entries.items() if key != PIPELINE})
    node, at = settings.get(PIPELINE), settings.place_of(PIPELINE)
    if family is None:
        remedy = "load the pipeline from a file"
        problems.error(Code.NOT_YET, "a sub-pipeline in a graph's node is not in this release", at, remedy)
        return rest, ""
    if node is None:
        remedy = "add pipeline under parameters: a path, or a whole pipeline"
        problems.error(Code.MISSING_PARAMETER, "pipeline-executor needs 'pipeline'", settings.place, remedy)
        return rest, ""
    if len(family.chain) > caps.PIPELINE_DEPTH:
        message = f"pipelines run each other deeper than {caps.PIPELINE_DEPTH} levels"
        problems.error(Code.TOO_DEEP, message, at, "make the innermost steps of the pipeline around it")
        return rest, ""
    given = _given(rest, inputs)
    name = _Finder(family, problems, at).found(node, given)
    if name is not None:
        _check_inputs(family.plans[name], rest, given, problems)
        _check_outputs(family.plans[name], rest, problems)
    return rest, name or ""


def _given(settings: Mapping, inputs: Collection[str]) -> frozenset[str]:
    """Names of the inputs that a pipeline will be given."""
    inherits, written = settings.get("inherit_context"), settings.get("inputs")
    around = inputs if not (isinstance(inherits, Scalar) and inherits.value is False) else ()
    return frozenset(around) | frozenset(written.entries if isinstance(written, Mapping) else ())


@dataclass(frozen=True, slots=True)
class _Finder:
    """Finds the pipeline that one step runs."""

    family: Family
    problems: Problems
    at: Place

    def found(self, node: Node, given: frozenset[str]) -> str | None:
        """Its name among the plans; None where it cannot be run, with the reasons added."""
        if isinstance(node, Mapping):
            return self._inline(node, given)
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            self.problems.error(
                Code.WRONG_TYPE, f"pipeline must be a path or a pipeline, found {kind_of(node)}", node.place
            )
            return None
        text = node.value
        if "\n" in text.strip() or _INLINE.match(text):
            return self._text(node, given)
        if template.is_template(text) or tags.in_text(text):
            remedy = "write the path itself; for a choice, one step for each pipeline, with a condition"
            message = "which pipeline is run has to be known before the run"
            self.problems.error(Code.UNKNOWN_PIPELINE, message, node.place, remedy)
            return None
        return self._path(text.strip(), given)

    def _inline(self, node: Mapping, given: frozenset[str]) -> str | None:
        """A pipeline that stands in the file as a mapping: its places are the file's."""
        inner = Problems(self.family.file)
        return self._compiled(node, inner, given, self.family.file, lambda problem: Place(problem.line, problem.column))

    def _text(self, node: Scalar, given: frozenset[str]) -> str | None:
        """A pipeline that stands in the file as a text, whose templates are its own."""
        inner = Problems(self.family.file)
        return self._compiled(str(node.value), inner, given, self.family.file, lambda p: node.place_of_line(p.line))

    def _path(self, written: str, given: frozenset[str]) -> str | None:
        path = next((path for path in _candidates(written, self.family.file) if path.is_file()), None)
        if path is None:
            places = ", ".join(str(folder) for folder in _folders(self.family.file))
            remedy = f"looked in {places}"
            self.problems.error(Code.UNKNOWN_PIPELINE, f"no pipeline {quoted(written)}", self.at, remedy)
            return None
        whole = str(path.absolute())
        if whole in self.family.chain:
            around = [Path(each).name for each in self.family.chain[self.family.chain.index(whole) :]]
            circle = " -> ".join([*around, path.name])
            remedy = "use a loop for what is to be repeated"
            self.problems.error(Code.CYCLE, f"pipelines run each other in a circle: {circle}", self.at, remedy)
            return None
        key = (whole, given)
        if key not in self.family.found:
            try:
                text: str | bytes = source.read(path)
            except PlanInvalid as error:
                self._add(error.problems, lambda _: self.at, f"{path}: ")
                return None
            self.family.found[key] = self._compiled(text, Problems(str(path)), given, whole, None)
        return self.family.found[key]

    def _compiled(
        self, root: Node | str | bytes, inner: Problems, given: frozenset[str], path: str, place_of: PlaceOf | None
    ) -> str | None:
        """Read it, add what is wrong with it, and keep it. Without `place_of` its problems are in another file."""
        try:
            node = compose(source.decode(root, inner), inner) if isinstance(root, str | bytes) else root
            plan = self.family.read(node, inner, self.family.within(inner.file, path), given)
        except PlanInvalid as error:
            self._add(error.problems, place_of, inner.file)
            return None
        self._add(inner.warnings, place_of, inner.file)
        if sum(len(each.steps) for each in self.family.plans.values()) + len(plan.steps) > caps.STEPS:
            message = f"more than {caps.STEPS:,} steps in all pipelines that it runs"
            self.problems.error(Code.TOO_LARGE, message, self.at)
            return None
        name = f"{plan.id}-{plan.hash[:12]}"
        self.family.plans[name] = plan
        return name

    def _add(self, found: list[Problem], place_of: PlaceOf | None, file: str) -> None:
        """What was found in it, at its own place where that is in this file, or else at the step that runs it."""
        for problem in found:
            at = place_of(problem) if place_of and problem.line else self.at
            where = "in its pipeline: " if place_of else f"in {file}:{problem.line}:{problem.column}: "
            step = f"step {quoted(problem.step)}: " if problem.step else ""
            add = self.problems.warn if problem.warning else self.problems.error
            add(Code(problem.code), f"{where}{step}{problem.message}", at, problem.remedy)


class PlaceOf(Protocol):
    """Where a problem of an inner pipeline is in the file around."""

    def __call__(self, problem: Problem, /) -> Place: ...


def _folders(file: str) -> Iterator[Path]:
    yield from dict.fromkeys([Path(file).parent, *map(Path, FOLDERS)])


def _candidates(written: str, file: str) -> Iterator[Path]:
    """Where a pipeline may be that is named by a path or an id."""
    names = [written] if Path(written).suffix in _SUFFIXES else [f"{written}{suffix}" for suffix in _SUFFIXES]
    for folder in _folders(file):
        yield from (folder / name for name in names)


def _check_inputs(plan: Plan, settings: Mapping, given: frozenset[str], problems: Problems) -> None:
    """Inputs that it needs must be there, and constants must fit."""
    written = settings.get("inputs")
    if written is not None and not isinstance(written, Mapping):
        return
    entries: dict[str, Entry] = written.entries if written is not None else {}
    for name, declared in plan.inputs.items():
        if declared.required and declared.default is None and name not in given:
            at = settings.place_of("inputs")
            remedy = f"add {name} under inputs"
            message = f"pipeline {quoted(plan.id)} needs input {quoted(name)} ({declared.type})"
            problems.error(Code.MISSING_PARAMETER, message, at, remedy)
        if name in entries and not has_template(entries[name].value) and not tags.in_node(entries[name].value):
            try:
                coerce(plain(entries[name].value), declared.type)
            except ValueError:
                message = f"input {quoted(name)} of pipeline {quoted(plan.id)} must be of type {declared.type}"
                problems.error(Code.PARAMETER_TYPE, message, entries[name].value.place)


def _check_outputs(plan: Plan, settings: Mapping, problems: Problems) -> None:
    """Outputs that are mapped must be there."""
    mapping = settings.get("output_mapping")
    for name, entry in mapping.entries.items() if isinstance(mapping, Mapping) else ():
        if name not in plan.outputs:
            known = f"it has {', '.join(plan.outputs)}" if plan.outputs else "it has none"
            remedy = problems.did_you_mean(name, plan.outputs) or known
            message = f"pipeline {quoted(plan.id)} has no output {quoted(name)}, so nothing is mapped"
            problems.warn(Code.UNKNOWN_OUTPUT, message, entry.key.place, remedy)
