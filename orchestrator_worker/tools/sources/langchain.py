"""LangChain's tools, by import path: the one file that knows LangChain, which is imported when a tool of it is used.

`langchain:package.module:name` names a tool's class, a tool itself, or a function that is annotated to return one;
with `/tool` behind it, one tool of a toolkit. `config` among a step's parameters is what the class or function is
called with, and `error_pattern` tells failures of tools that report them as text.
"""

from __future__ import annotations

import json
import re
import typing
import warnings
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from orchestrator_client.contract.catalog import LANGCHAIN_PREFIX
from orchestrator_client.contract.errors import ParametersInvalid, StepError, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.tool import LANGCHAIN_CONFIG, LANGCHAIN_ERRORS, ToolInfo, ToolSource
from orchestrator_worker.tools.arguments import checked
from orchestrator_worker.tools.artifacts import written
from orchestrator_worker.tools.base import ToolContext, ToolEntry, ToolResult
from orchestrator_worker.tools.coercion import coerced
from orchestrator_worker.tools.jsonable import to_json_value
from orchestrator_worker.tools.python import named
from orchestrator_worker.tools.signature import schema_of
from orchestrator_worker.tools.thread import in_thread

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tools import BaseTool

ANYTHING: dict[str, Json] = {"type": "object"}
"""Schema of a tool that says what it takes only once it is configured."""

ERROR_CHARACTERS = 500
"""Of a failure that is reported as text."""

ROOT = "root_dir"
"""The field in which LangChain's file tools keep the folder that they may not leave."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A step's parameters: how the tool is to be configured, and what it is to be called with."""

    config: dict[str, Json]
    arguments: dict[str, Json]
    error_pattern: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Made:
    """A tool, ready to be called, and what it says of itself: working that out takes longer than most calls."""

    tool: BaseTool
    parameters: dict[str, Json]
    """JSON Schema of its arguments."""
    result: dict[str, Json] | None
    """JSON Schema of what it returns."""

    @classmethod
    def of(cls, tool: BaseTool) -> Made:
        return cls(tool, _parameters(tool), _returned(tool))


def listed() -> Iterator[ToolEntry]:
    """Nothing: whatever can be imported can be called."""
    return iter(())


def resolve(uses: str) -> ToolEntry:
    """The tool, as far as it is known without its configuration.

    Raises:
        ParametersInvalid: there is no such tool, or LangChain is not installed.
        ToolFailed: its module cannot be imported.
    """
    path, _, member = uses.removeprefix(LANGCHAIN_PREFIX).partition("/")
    return ToolEntry(_info(uses, path, member), partial(_wish, uses), partial(_call, uses, path, member))


@lru_cache(maxsize=256)
def _info(uses: str, path: str, member: str) -> ToolInfo:
    """What the tool says of itself."""
    made = _unconfigured(path, member)
    tool = made.tool if made else None
    said = getattr(tool, "metadata", None) or {}
    return ToolInfo(
        name=uses,
        source=ToolSource.LANGCHAIN,
        description=getattr(tool, "description", "") or f"Call {uses.removeprefix(LANGCHAIN_PREFIX)}",
        parameters=made.parameters if made else ANYTHING,
        result=made.result if made else None,
        tags=tuple(getattr(tool, "tags", None) or ()),
        read_only=said.get("read_only") is True,
        idempotent=said.get("idempotent") is True,
    )


def _unconfigured(path: str, member: str) -> Made | None:
    """The tool before it is configured; None where nothing is known of it then."""
    from langchain_core.tools import BaseTool

    found = _found(path)
    if isinstance(found, type) and issubclass(found, BaseTool):
        return Made.of(found.model_construct())  # without its `__init__`, which may connect to something
    try:
        return _made(path, member, "{}")
    except StepError:
        return None


def _wish(uses: str, parameters: Mapping[str, Json]) -> Wish:
    """A step's parameters, told apart.

    Raises:
        ParametersInvalid: the configuration is no mapping, or the pattern no regular expression.
    """
    given = dict(parameters)
    config, pattern = given.pop(LANGCHAIN_CONFIG, None) or {}, given.pop(LANGCHAIN_ERRORS, None)
    if not isinstance(config, dict):
        raise ParametersInvalid(f"{uses}: parameter '{LANGCHAIN_CONFIG}' must be a mapping")
    try:
        return Wish(config, given, re.compile(pattern) if pattern else None)
    except (re.error, TypeError) as error:
        raise ParametersInvalid(f"{uses}: parameter '{LANGCHAIN_ERRORS}' is no regular expression: {error}") from None


def _call(uses: str, path: str, member: str, context: ToolContext, wish: Wish) -> Awaitable[ToolResult]:
    """Configure the tool and check its arguments here, and call it where the worker's loop awaits it."""
    made = _made(path, member, _config(path, wish.config, context))
    arguments = checked(made.parameters, wish.arguments, uses)
    return _called(uses, made, arguments, context, wish.error_pattern)


async def _called(
    uses: str, made: Made, arguments: dict[str, Json], context: ToolContext, error_pattern: re.Pattern[str] | None
) -> ToolResult:
    """Call the tool.

    Raises:
        ParametersInvalid: the arguments fit its schema, and not what it checks beyond that.
        ToolFailed: it raised.
    """
    asked = {"type": "tool_call", "id": context.instance, "name": made.tool.name, "args": arguments}
    try:
        message = await _message(made.tool, asked, {"callbacks": [_told(context)]})
    except ValidationError as error:
        said = "; ".join(f"'{'.'.join(map(str, p['loc']))}' {p['msg']}" for p in error.errors(include_url=False))
        raise ParametersInvalid(f"{uses}: {said}") from error
    except StepError:
        raise
    except (Exception, SystemExit) as error:
        raise ToolFailed(f"{uses} raised {type(error).__name__}: {error}") from error
    return _result(uses, made, message, context, error_pattern)


async def _message(tool: BaseTool, asked: dict[str, Any], options: Any) -> Any:
    """What the tool answers: called in a thread, or on the loop where it is async alone, which it says by refusing."""
    from langchain_core.tools import BaseTool

    try:
        return await in_thread(lambda: tool.invoke(asked, options))
    except NotImplementedError:
        if type(tool)._arun is BaseTool._arun:
            raise
    return await tool.ainvoke(asked, options)


def _result(
    uses: str, made: Made, message: Any, context: ToolContext, error_pattern: re.Pattern[str] | None
) -> ToolResult:
    """A `ToolMessage` as a result: its content, its status, and its artifact beside them."""
    from langchain_core.messages import ToolMessage

    if not isinstance(message, ToolMessage):
        return ToolResult(to_json_value(message))
    text = message.content if isinstance(message.content, str) else ""
    output = to_json_value(_unstringified(message.content, made.result))
    failed = message.status == "error" or (error_pattern is not None and error_pattern.search(text) is not None)
    error = (text[:ERROR_CHARACTERS] or f"{uses} reported failure") if failed else None
    result = ToolResult(output, success=not failed, error=error)
    return _with_artifact(result, message.artifact, context)


def _with_artifact(result: ToolResult, artifact: object, context: ToolContext) -> ToolResult:
    """The same with the artifact beside it: bytes as a file of the run, all else as the field `artifact`."""
    if artifact is None:
        return result
    if isinstance(artifact, bytes):
        return replace(result, artifacts=(written(context, "artifact", artifact, "application/octet-stream"),))
    try:
        return replace(result, envelope={"artifact": to_json_value(artifact, "artifact")})
    except ToolFailed as error:
        return replace(result, warnings=(f"the tool's artifact is not kept: {error}",))


def _unstringified(content: Json, result: Mapping[str, Json] | None) -> Json:
    """What the tool returned: LangChain makes text of everything for its models.

    By the tool's annotation where there is one; otherwise a mapping or list, if LangChain's text of it is this very
    text, so that the text of a tool which returns JSON as it found it stays as it is.
    """
    if not isinstance(content, str):
        return content
    if result is not None:
        return coerced(content, result)
    if not content.startswith(("{", "[")):
        return content
    try:
        read = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return read if json.dumps(read, ensure_ascii=False) == content else content


def _told(context: ToolContext) -> BaseCallbackHandler:
    """A callback that passes on what the tool says of its progress.

    That is LangChain's custom event `progress` with `fraction`, `message` or both, and its `on_text`.
    """
    from langchain_core.callbacks import BaseCallbackHandler

    class Told(BaseCallbackHandler):
        def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
            if name == "progress" and isinstance(data, Mapping):
                context.progress(data.get("fraction"), str(data.get("message", "")))

        def on_text(self, text: str, **_: Any) -> None:
            context.progress(message=text)

    return Told()


def _parameters(tool: BaseTool) -> dict[str, Json]:
    """JSON Schema of the tool's arguments, without those that LangChain injects."""
    try:
        given: Any = tool.tool_call_schema
        if isinstance(given, dict):
            schema = dict(given)
        else:
            schema = given.model_json_schema() if issubclass(given, BaseModel) else given.schema()
            # LangChain drops what the tool does not know without a word; a plan's author wants to hear of it.
            config: Mapping[str, Any] = getattr(tool.get_input_schema(), "model_config", {})
            schema.setdefault("additionalProperties", config.get("extra") == "allow")
    except (AttributeError, TypeError, NotImplementedError, NameError):
        return ANYTHING
    return {name: value for name, value in schema.items() if name not in ("title", "description")}


def _returned(tool: BaseTool) -> dict[str, Json] | None:
    """JSON Schema of what the tool's function is annotated to return; None where it is not."""
    function = getattr(tool, "func", None) or getattr(tool, "coroutine", None) or type(tool)._run
    try:
        returned = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    if getattr(tool, "response_format", "content") == "content_and_artifact":
        returned = next(iter(typing.get_args(returned)), None)
    return None if returned in (None, Any, type(None)) else schema_of(returned, "serialization")


def _config(path: str, config: Mapping[str, Json], context: ToolContext) -> str:
    """The configuration as JSON; a file tool is kept within the run's folder, unless another one is named."""
    found = _found(path)
    fields = getattr(found, "model_fields", {}) if isinstance(found, type) else {}
    rooted = {ROOT: str(context.folder / str(config.get(ROOT) or ""))} if ROOT in fields else {}
    return json.dumps({**config, **rooted}, sort_keys=True)


@lru_cache(maxsize=64)
def _made(path: str, member: str, config: str) -> Made:
    """The tool, configured; one for all calls that configure it alike, so that it may keep its connections.

    Raises:
        ParametersInvalid: its configuration does not fit, or the toolkit has no such tool.
        ToolFailed: it cannot be made.
    """
    from langchain_core.tools import BaseTool, BaseToolkit

    given, found = json.loads(config), _found(path)
    made = found if isinstance(found, BaseTool | BaseToolkit) else _given(path, found, given)
    if made is found and given:
        raise ParametersInvalid(f"{path} is a tool already, which takes no '{LANGCHAIN_CONFIG}'; name its class")
    if isinstance(made, BaseTool):
        if member:
            raise ParametersInvalid(f"{path} is one tool; write it without '/{member}'")
        return Made.of(made)
    tools = made.get_tools() if isinstance(made, BaseToolkit) else list(made)
    names = {tool.name: tool for tool in tools if isinstance(tool, BaseTool)}
    if member not in names:
        raise ParametersInvalid(f"{path} is several tools; write {path}/ and one of {', '.join(names)}")
    return Made.of(names[member])


def _given(path: str, found: Any, config: Mapping[str, Json]) -> Any:
    """What a class or function gives with this configuration."""
    try:
        return found(**config)
    except (ValidationError, TypeError) as error:
        raise ParametersInvalid(f"{path}: '{LANGCHAIN_CONFIG}' does not fit: {error}") from error
    except StepError:
        raise
    except (Exception, SystemExit) as error:
        raise ToolFailed(f"{path}: making the tool raised {type(error).__name__}: {error}") from error


@lru_cache(maxsize=256)
def _found(path: str) -> Any:
    """What is at an import path: a tool, a toolkit, the class of one, or a function that is annotated to return them.

    Nothing else is ever called: a plan that may use LangChain's tools may not therefore call any function.

    Raises:
        ParametersInvalid: it is something else, it is not there, or LangChain is not installed.
    """
    try:
        from langchain_core.tools import BaseTool, BaseToolkit
    except ModuleNotFoundError as error:
        raise ParametersInvalid(
            "the worker has no LangChain; install it there: pip install 'orchestrator[langchain]'"
        ) from error
    with warnings.catch_warnings():
        # A package that announces its own end does so when it is imported; workers' logs need not have it.
        warnings.simplefilter("ignore", DeprecationWarning)
        found = named(path)
    tools = (BaseTool, BaseToolkit)
    if isinstance(found, tools) or (isinstance(found, type) and issubclass(found, tools)) or _gives(found, tools):
        return found
    raise ParametersInvalid(
        f"{path} is no LangChain tool; name a subclass of BaseTool or BaseToolkit, or a function that is annotated so"
    )


def _gives(found: Any, tools: tuple[type, ...]) -> bool:
    """Whether a function is annotated to return a tool, a toolkit or a list of tools."""
    try:
        returned = typing.get_type_hints(found).get("return")
    except (NameError, TypeError, AttributeError):
        return False
    kind = next(iter(typing.get_args(returned)), None) if typing.get_origin(returned) is list else returned
    return isinstance(kind, type) and issubclass(kind, tools)
