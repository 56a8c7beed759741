"""What a step uses: from `tool` and `action` as people write them to one name of the catalog."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from orchestrator_client.contract import catalog, template
from orchestrator_client.contract.catalog.pipelines import CONTROLS
from orchestrator_client.contract.plan import StepKind
from orchestrator_client.loader import dialect, foreign, tags
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, kind_of

_ECHO = re.compile(r"(echo|print|display|show|output)\s+(.+)", re.IGNORECASE | re.DOTALL)
"""Words after which an action says what it hands on."""
ASKED = "generate"
"""The model action of a step whose action is an AUTO tag."""

_DUMMY_ACTION = "execute"
"""What existing files write where the action stands among the parameters."""


@dataclass(frozen=True, slots=True)
class Use:
    """What performs a step."""

    kind: StepKind
    uses: str
    offers: tuple[str, ...] = ()
    """Tools that a model is given with its task."""
    words: tuple[str, str] | None = None
    """A parameter that the action itself states, and its value."""
    asks: bool = False
    """The action is what the model is asked."""

    @property
    def record(self) -> type[catalog.Parameters] | None:
        """What its parameters are checked against; None where only a worker knows them."""
        if self.kind is StepKind.MODEL:
            return catalog.MODEL_ACTIONS[self.uses]
        if self.kind is StepKind.CONTROL:
            return CONTROLS[self.uses].parameters
        return catalog.TOOLS[self.uses].parameters if self.uses in catalog.TOOLS else None


def tool_named(text: str) -> str | None:
    """The catalog's name of `tool.action`, or of a tool with one action; one from outside it as it stands."""
    if foreign.named(text):
        return text.strip()
    tool, _, action = text.strip().partition(".")
    name = dialect.canonical_tool(tool)
    actions = catalog.actions_of(name)
    wanted = _canonical_action(action, actions) if action else catalog.default_action(name)
    return f"{name}.{wanted}" if wanted in actions else None


class Prose(StrEnum):
    """What becomes of an action that is words and names none."""

    REFUSED = "refused"
    ASKED = "asked"
    """A model does what it says."""
    FAILS = "fails"
    """The step fails, and its error handlers say what then."""


def of(step: Mapping, parameters: Mapping, prose: Prose, problems: Problems) -> Use | None:
    """What a step uses, or None with the reason added."""
    tool, action = (_word(step, key, problems) for key in ("tool", "action"))
    if action is not None and tags.in_text(action):
        return _asked(tool, step, parameters, problems)
    if action is not None and tool is None and prose is not Prose.ASKED and _is_label(action, parameters):
        message, remedy = f"no action {quoted(action)}: a model is asked the prompt", f"write action: {ASKED}"
        problems.warn(Code.PROSE_ACTION, message, step.place_of("action"), remedy)
        return Use(StepKind.MODEL, ASKED)
    if action is not None and prose is not Prose.REFUSED and _is_prose(tool, action, parameters):
        return _prose(tool, action, step, parameters, prose, problems)
    if tool is not None:
        return _tool(tool, action, parameters, step.place_of("tool"), step.place_of("action"), problems)
    if action is not None:
        return _action(action, parameters, step.place_of("action"), problems)
    if not {"tool", "action"} & step.entries.keys():
        problems.error(Code.NO_ACTION, "the step has neither a tool nor an action", step.place, "add one of them")
    return None


def _word(step: Mapping, key: str, problems: Problems) -> str | None:
    """The text of `tool` or `action`; None where it is absent or refused."""
    node = step.get(key)
    if node is None:
        if key in step.entries:
            problems.error(Code.WRONG_TYPE, f"{key} is empty", step.place_of(key), "name one, or remove the key")
        return None
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        problems.error(Code.WRONG_TYPE, f"{key} must be text, found {kind_of(node)}", node.place)
        return None
    if key == "tool" and tags.in_text(node.value):
        tags.refuse(node, "in the place of a tool", problems)
        return None
    return node.value.strip()


def _asked(tool: str | None, step: Mapping, parameters: Mapping, problems: Problems) -> Use | None:
    """A step whose action is an AUTO tag: a model is asked to do what it says, with the actions of the tool if any."""
    tags.check(step.get("action"), problems)
    if "prompt" in parameters.entries:
        at = parameters.place_of("prompt")
        problems.warn(Code.TWO_SPELLINGS, "both an action in words and a prompt", at, "the action is used")
    if tool is None:
        return Use(StepKind.MODEL, ASKED, asks=True)
    name = dialect.canonical_tool(tool)
    offered = [f"{name}.{action}" for action in catalog.actions_of(name)]
    if tool in catalog.TOOLS or foreign.named(tool):
        offered = [tool]
    if not offered:
        return _tool(tool, None, parameters, step.place_of("tool"), step.place_of("action"), problems)
    return Use(StepKind.MODEL, ASKED, tuple(offered), asks=True)


def _is_label(action: str, parameters: Mapping) -> bool:
    """Whether an action only says in words what the prompt beside it asks of a model."""
    return "prompt" in parameters.entries and " " in action and _is_prose(None, action, parameters)


def _is_prose(tool: str | None, action: str, parameters: Mapping) -> bool:
    """Whether an action names none, of the tool or at all."""
    if template.is_template(action) and _ECHO.match(action) is None:
        return tool is None
    trial = Problems("")
    at = parameters.place
    used = _action(action, parameters, at, trial) if tool is None else _tool(tool, action, parameters, at, at, trial)
    return used is None and any(problem.code == Code.UNKNOWN_ACTION for problem in trial.errors)


def _prose(
    tool: str | None, action: str, step: Mapping, parameters: Mapping, prose: Prose, problems: Problems
) -> Use | None:
    """A step whose action is words that name none."""
    at = step.place_of("action")
    if prose is Prose.ASKED:
        return _asked(tool, step, parameters, problems)
    message, remedy = f"no action {quoted(action)}: the step fails, and its error handlers decide", "name a tool"
    problems.warn(Code.PROSE_ACTION, message, at, remedy)
    return Use(StepKind.TOOL, catalog.UNKNOWN, words=("action", action))


def _tool(
    tool: str, action: str | None, parameters: Mapping, at: Place, action_at: Place, problems: Problems
) -> Use | None:
    """What a step with a tool uses."""
    if foreign.refused(tool, at, problems):
        return None
    if tool in catalog.TOOLS or foreign.named(tool):
        foreign.check_server(tool, at, problems)
        return Use(StepKind.TOOL, tool)
    name = dialect.canonical_tool(tool)
    if (words := dialect.ASKED_OF_MODELS.get(f"{name}.{(action or '').lower().replace('-', '_')}")) is not None:
        return Use(StepKind.MODEL, "analyze", words=("analysis_type", words))
    if f"{name}.execute" in CONTROLS:
        return Use(StepKind.CONTROL, f"{name}.execute")
    if name in catalog.MODEL_TOOLS:
        return Use(StepKind.MODEL, catalog.MODEL_TOOLS[name])
    if name in dialect.tools():
        chosen = _chosen(name, action, parameters, action_at if action else at, problems)
        return Use(StepKind.TOOL, f"{name}.{chosen}") if chosen else None
    if action and foreign.named(f"{tool}.{action}"):
        return Use(StepKind.TOOL, f"{tool}.{action}")
    if name in dialect.TOOLS_LATER:
        dialect.not_yet(problems, f"tool {quoted(tool)}", at, dialect.TOOLS_LATER[name])
    elif foreign.may_be_plugin(tool, at, problems):
        return Use(StepKind.TOOL, tool)
    else:
        known = sorted(dialect.tools() | dialect.TOOLS_LATER.keys() | catalog.MODEL_TOOLS.keys())
        remedy = problems.did_you_mean(name, known) or f"tools: {', '.join(sorted(dialect.tools()))}"
        problems.error(Code.UNKNOWN_TOOL, f"no tool {quoted(tool)}", at, remedy)
    return None


def _chosen(tool: str, action: str | None, parameters: Mapping, at: Place, problems: Problems) -> str | None:
    """The action of a known tool: the step's, else the one among the parameters, else the only one there is."""
    actions = catalog.actions_of(tool)
    wanted = None if action is None else _canonical_action(action, actions)
    if wanted in actions:
        return wanted
    if (remedy := dialect.TOOL_ACTIONS_LATER.get(f"{tool}.{wanted}")) is not None:
        dialect.not_yet(problems, f"action {quoted(action or '')} of {quoted(tool)}", at, remedy)
        return None
    among_parameters, written = parameters.get("action"), action
    if among_parameters is None and isinstance(operation := parameters.get("operation"), Scalar):
        among_parameters = operation
    if among_parameters is not None and (wanted in (None, _DUMMY_ACTION) or " " in (wanted or "")):
        action, wanted, at = _inner(among_parameters, actions)
        if wanted in actions:
            return wanted
    if (only := catalog.default_action(tool)) is not None:
        if wanted not in (None, _DUMMY_ACTION):
            message = f"{quoted(tool)} has no action {quoted(action or '')}; {only} is done"
            problems.warn(Code.PROSE_ACTION, message, at, f"write action: {only}")
        return only
    implied = {} if written else dialect.IMPLIED_ACTIONS.get(tool, {})
    if (found := next((implied[key] for key in implied if key in parameters.entries), None)) is not None:
        return found
    if (first := _first_word(written, actions)) is not None:
        message = f"{quoted(tool)} has no action {quoted(written or '')}; {first} is done"
        problems.warn(Code.PROSE_ACTION, message, at, f"write action: {first}")
        return first
    _refuse_action(tool, action, wanted, actions, at, problems)
    return None


def _first_word(written: str | None, actions: list[str]) -> str | None:
    """The action that a sentence begins with: `Write the report` is `write`."""
    word, _, rest = (written or "").strip().partition(" ")
    return name if rest and (name := _canonical_action(word, actions)) in actions else None


def _refuse_action(
    tool: str, action: str | None, wanted: str | None, actions: list[str], at: Place, problems: Problems
) -> None:
    """Say which actions there are, whatever was wrong with the one that was wanted."""
    listed = f"actions of {tool}: {', '.join(actions)}"
    if wanted in (None, _DUMMY_ACTION):
        problems.error(Code.NO_ACTION, f"the step does not say which action of {quoted(tool)} it wants", at, listed)
    elif template.is_template(action or ""):
        problems.error(Code.UNKNOWN_ACTION, "an action cannot be a template", at, listed)
    else:
        remedy = f"{problems.did_you_mean(wanted or '', actions)} {listed}".strip()
        problems.error(Code.UNKNOWN_ACTION, f"tool {quoted(tool)} has no action {quoted(action or '')}", at, remedy)


def _inner(node: Node, actions: list[str]) -> tuple[str, str, Place]:
    """The action among the parameters, as written and as the catalog spells it, with its place."""
    written = node.text if isinstance(node, Scalar) else kind_of(node)
    return written, _canonical_action(written, actions), node.place


def _unquoted(text: str) -> str:
    """A text without the quotation marks around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _canonical_action(written: str, actions: list[str]) -> str:
    """An action's name regardless of case, hyphens and underscores."""
    name = written.strip().lower()
    return next((action for action in actions if action.replace("_", "-") == name.replace("_", "-")), name)


def _action(action: str, parameters: Mapping, at: Place, problems: Problems) -> Use | None:
    """A step with an action alone: a call of a model, or a tool that is named like an action."""
    name = action.lower()
    model = catalog.ACTION_ALIASES.get(name, name)
    if model in catalog.MODEL_ACTIONS:
        return Use(StepKind.MODEL, model)
    if dialect.canonical_tool(name) in dialect.tools():
        return _tool(name, None, parameters, at, at, problems)
    if tool := catalog.TOOL_ACTIONS.get(name.replace("-", "_")):
        return Use(StepKind.TOOL, tool)
    if said := _ECHO.match(action):
        return Use(StepKind.TOOL, "text.echo", words=("text", _unquoted(said[2].strip())))
    if name.replace("-", "_") in dialect.ACTIONS_LATER or dialect.canonical_tool(name) in dialect.TOOLS_LATER:
        remedy = dialect.ACTIONS_LATER.get(name.replace("-", "_")) or dialect.TOOLS_LATER.get(name, "")
        dialect.not_yet(problems, f"action {quoted(action)}", at, remedy)
        return None
    known = [*catalog.MODEL_ACTIONS, *catalog.ACTION_ALIASES, *sorted(dialect.tools())]
    remedy = problems.did_you_mean(name, known) or "name a tool, or use generate_text with the text as its prompt"
    problems.error(Code.UNKNOWN_ACTION, f"no action {quoted(action)}", at, remedy)
    return None
