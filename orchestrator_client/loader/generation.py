"""Checks what a model step says of its answer: the form it must have, the tools it may use, who else may give it."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator_client.contract import catalog, template
from orchestrator_client.contract.models import AUTO, qualified
from orchestrator_client.loader import dialect, foreign, uses
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Entry, Mapping, Node, Scalar, Sequence, is_null, kind_of

_FORMATS = frozenset({"text", "json", "json_object", "json_schema"})
"""`json` is another word for `json_object`."""
_CHOICES = frozenset({"auto", "none", "required"})
"""What `tool_choice` may be beside the name of a tool."""


def check(settings: Mapping, model: Scalar | None, problems: Problems) -> None:
    """Add what is wrong. Names of tools are put as the catalog spells them; templates are left for later."""
    _check_schema(settings, problems)
    _check_fallbacks(settings.get("fallback_models"), model, problems)
    _check_tools(settings, problems)
    cache = settings.get("cache")
    if isinstance(cache, Scalar) and not isinstance(cache.value, str) and (cache.value or 0) < 0:
        remedy = "write true, false, or how many seconds an answer may be used again"
        problems.error(Code.OUT_OF_RANGE, f"cache is {cache.text} seconds", cache.place, remedy)


def _texts(node: Node | None) -> Iterator[Scalar]:
    """The texts of a list, or the one text, that stand there in full already. What is no text the record refuses."""
    for item in node.items if isinstance(node, Sequence) else (node,):
        if isinstance(item, Scalar) and isinstance(item.value, str) and not template.is_template(item.value):
            yield item


def _check_schema(settings: Mapping, problems: Problems) -> None:
    """A schema is JSON Schema or a class by its import path; OpenAI's spelling is another way to say the same."""
    schema = settings.get("schema") or settings.get("schema_")
    form = settings.get("response_format")
    if schema is not None and not isinstance(schema, Mapping) and not _is_class(schema):
        remedy = "write JSON Schema as a mapping, or python:package.module:Class"
        problems.error(Code.WRONG_TYPE, f"schema must be a mapping, found {kind_of(schema)}", schema.place, remedy)
    if form is None:
        return
    if schema is not None:
        at = settings.place_of("response_format")
        problems.warn(Code.TWO_SPELLINGS, "both schema and response_format", at, "schema is used")
    _check_format(form, problems)


def _is_class(node: Node) -> bool:
    """Whether a text names a class, or will."""
    text = node.value if isinstance(node, Scalar) else None
    return isinstance(text, str) and (template.is_template(text) or foreign.is_function(text))


def _check_format(form: Node, problems: Problems) -> None:
    """`json_object`, `{type: json_object}`, or `{type: json_schema, json_schema: {schema: …}}`."""
    kind = form.get("type") if isinstance(form, Mapping) else form
    if not isinstance(kind, Scalar) or not isinstance(kind.value, str):
        remedy = f"its type is one of {', '.join(sorted(_FORMATS))}"
        message = f"response_format must be a text or a mapping with a type, found {kind_of(form)}"
        problems.error(Code.WRONG_TYPE, message, form.place, remedy)
        return
    if template.is_template(kind.value):
        return
    if kind.value not in _FORMATS:
        remedy = problems.did_you_mean(kind.value, _FORMATS) or f"write one of {', '.join(sorted(_FORMATS))}"
        problems.error(Code.WRONG_VALUE, f"no response_format {quoted(kind.value)}", kind.place, remedy)
    elif kind.value == "json_schema":
        outer = form.get("json_schema") if isinstance(form, Mapping) else None
        if not (isinstance(outer, Scalar) or (isinstance(outer, Mapping) and outer.get("schema") is not None)):
            remedy = "write json_schema: {schema: …} beside its type, or the schema itself under schema:"
            problems.error(Code.MISSING_PARAMETER, "response_format json_schema without a schema", form.place, remedy)


def _check_fallbacks(node: Node | None, model: Scalar | None, problems: Problems) -> None:
    """Each of the other models once, and none that is chosen only at run time."""
    seen = {qualified(model.text)} if model and not template.is_template(model.text) else set()
    for item in _texts(node):
        if dialect.AUTO in item.text:
            continue
        if item.text.strip() in (AUTO, ""):
            remedy = "name models here, and write model: AUTO for the step"
            problems.error(Code.WRONG_VALUE, f"fallback_models cannot hold {quoted(item.text)}", item.place, remedy)
        elif (name := qualified(item.text)) in seen:
            message = f"fallback_models asks {quoted(item.text)} a second time"
            problems.error(Code.WRONG_VALUE, message, item.place, "remove it: it has failed by then")
        else:
            seen.add(name)


def _check_tools(settings: Mapping, problems: Problems) -> None:
    """Every tool exists, and the one that must be called is among them."""
    tools = settings.entries.get("tools")
    offered: set[str] = set()
    if tools is not None and not is_null(tools.value):
        for item in _texts(tools.value):
            if (name := _tool(item, problems)) is not None:
                item.text = item.value = name
                offered.add(name)
    choice = settings.get("tool_choice")
    if isinstance(choice, Scalar) and isinstance(choice.value, str):
        _check_choice(choice, tools, offered, problems)


def _tool(item: Scalar, problems: Problems) -> str | None:
    """The tool as the catalog spells it, or None with the reason added."""
    if dialect.AUTO in item.text or (name := uses.tool_named(item.text)) is not None:
        return None if dialect.AUTO in item.text else name
    written = dialect.canonical_tool(item.text.partition(".")[0])
    if written in dialect.TOOLS_LATER:
        dialect.not_yet(problems, f"tool {quoted(item.text)}", item.place)
        return None
    if foreign.refused(item.text, item.place, problems):
        return None
    if foreign.may_be_plugin(item.text, item.place, problems):
        return item.text.strip()
    actions = [f"{written}.{action}" for action in catalog.actions_of(written)]
    hint = "" if actions else problems.did_you_mean(item.text, catalog.TOOLS.keys())
    remedy = hint or f"write one of {', '.join(actions or catalog.TOOLS)}, or python:package.module:function"
    problems.error(Code.UNKNOWN_TOOL, f"no tool {quoted(item.text)} that a model could call", item.place, remedy)
    return None


def _check_choice(choice: Scalar, tools: Entry | None, offered: set[str], problems: Problems) -> None:
    """`auto`, `none`, `required`, or one of the tools, if all of them are known."""
    if template.is_template(choice.text) or choice.text in ("auto", "none"):
        return
    if tools is None or is_null(tools.value):
        message = f"tool_choice is {quoted(choice.text)}, and the step has no tools"
        problems.error(Code.MISSING_PARAMETER, message, choice.place, "add tools under parameters")
        return
    name = uses.tool_named(choice.text)
    if name in offered:
        choice.text = choice.value = name or choice.text
        return
    items = tools.value.items if isinstance(tools.value, Sequence) else [tools.value]
    if choice.text in _CHOICES or len(list(_texts(tools.value))) < len(items):
        return
    known = [*sorted(_CHOICES), *sorted(offered)]
    remedy = problems.did_you_mean(choice.text, known) or f"write one of {', '.join(known)}"
    problems.error(Code.WRONG_VALUE, f"tool_choice {quoted(choice.text)} is none of the tools", choice.place, remedy)
