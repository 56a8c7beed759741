"""Commands about tools: tools list, show, call. The tools themselves are a worker's, and are asked in its process."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator_client.cli.faults import ExitCode, Fault
from orchestrator_client.cli.fleet import require
from orchestrator_client.cli.inputs import texts_of
from orchestrator_client.cli.options import json_option
from orchestrator_client.cli.show.text import json_text, one_line, plural, printable, seconds

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator_client.contract.tool import ToolInfo

DESCRIPTION_CHARACTERS = 70
"""Of a description, in the list."""

END_SECONDS = 10.0
"""For a tool that was interrupted to clear up."""

name_argument = click.argument("name", metavar="NAME")


@click.group()
def tools() -> None:
    """See which tools a worker on this machine has, and call one without a fleet.

    A tool is named as in a plan: filesystem.read, python:package.module:function, langchain:package.module:Class,
    mcp:server/tool, or as the package that adds it says.
    """


@tools.command(name="list")
@click.argument("word", required=False)
@click.option("--category", metavar="NAME", help="Only of this category, such as web or data.")
@click.option("--source", metavar="NAME", help="Only from here: native, plugin, mcp.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only with this tag; may be repeated.")
@json_option
def list_tools(
    word: str | None, category: str | None, source: str | None, tags: tuple[str, ...], output: str | None
) -> None:
    """List the tools there are; with WORD, those that have it in their name or description.

    Functions and LangChain tools are named by their import path and are not listed: `tools show` knows them.

    \b
    orchestrator tools list --category web
    orchestrator tools list csv -o json
    """
    from orchestrator_client.contract.tool import ToolInfo

    answer = _ask("list")
    for problem in answer["problems"]:
        click.echo(f"warning: {one_line(problem)}", err=True)
    found = [ToolInfo.model_validate(tool) for tool in answer["tools"]]
    wanted = list(_wanted(found, word, category, source, tags))
    if output:
        click.echo(json_text([tool.model_dump(mode="json") for tool in wanted]))
    elif wanted:
        from orchestrator_client.cli.show.rendering import console, print_whole

        print_whole(console(), table_of(wanted))
    else:
        click.echo("no tool is like that", err=True)


@tools.command(name="show")
@name_argument
@json_option
def show_tool(name: str, output: str | None) -> None:
    """Show one tool: what it takes and leaves, and what is said of it."""
    from orchestrator_client.contract.tool import ToolInfo

    answer = _ask("show", name)
    if output:
        click.echo(json_text(answer))
        return
    for line in _described(ToolInfo.model_validate(answer)):
        click.echo(line)


@tools.command(name="call")
@name_argument
@click.option("-p", "pairs", metavar="KEY=VALUE", multiple=True, help="A parameter; JSON where the tool takes no text.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Stop it after this long."
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    help="Where relative paths start, and which file tools may not leave; default: this one.",
)
@json_option
def call_tool(name: str, pairs: tuple[str, ...], timeout: float | None, folder: Path, output: str | None) -> None:
    """Call a tool here and now, and print its output; with -o json, all of its result.

    It does what it does: a tool that writes files or sends requests really does. Exit code 1: it failed.

    \b
    orchestrator tools call filesystem.read -p path=README.md
    orchestrator tools call python:statistics:mean -p data='[1, 2, 6]' -o json
    """
    asked = {
        "parameters": texts_of(pairs, "key=value", "-p"),
        "folder": str(folder.absolute()),
        "timeout_seconds": timeout,
    }
    result = _ask("call", name, asked)
    if output:
        click.echo(json_text(result))
    elif result["success"]:
        _print(result)
    if not result["success"]:
        raise Fault("" if output else f"error: {result['error'] or 'the tool failed'}", ExitCode.RUN_FAILED)


def _print(result: Mapping[str, Any]) -> None:
    """The output to stdout, for pipes; what else there is to say to stderr."""
    value = result["output"]
    click.echo(value if isinstance(value, str) else json_text(value))
    for warning in result["warnings"]:
        click.echo(f"warning: {one_line(warning)}", err=True)
    for artifact in result["artifacts"]:
        click.echo(f"file: {printable(artifact['path'])} ({artifact['bytes']:,} bytes)", err=True)
    click.echo(f"{printable(result['tool'])} took {seconds(result['seconds'])}", err=True)


def _ask(*question: str | Mapping[str, Any]) -> dict[str, Any]:
    """Put a question to the worker's side, in a process of its own.

    Raises:
        Fault: the tool is not there, does not take these parameters, or has ended its process.
    """
    require("pydantic_settings")
    words = [part for part in question if isinstance(part, str)]
    asked = next((part for part in question if isinstance(part, Mapping)), None)
    command = [sys.executable, "-m", "orchestrator_worker.toolbox", *words]
    code, said = _run(command, json.dumps(asked))
    if code != 0 or not said:
        raise Fault(f"error: {' '.join(words)} ended its process with exit code {code}", ExitCode.RUN_FAILED)
    answer: dict[str, Any] = json.loads(said)
    if "refused" in answer:
        raise Fault(f"error: {answer['refused']}", ExitCode.INVALID)
    return answer


def _run(command: list[str], question: str) -> tuple[int, str]:
    """Exit code and stdout of a process. Ctrl-C reaches it too: it has time to end; a second one ends it at once."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            said, _ = process.communicate(question)
        except KeyboardInterrupt:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            raise
        finally:
            process.kill()
    return process.returncode, said


@tools.command()
@click.option("--check", is_flag=True, help="Write nothing; say what has changed since, with exit code 1.")
def lock(check: bool) -> None:
    """Write down what the MCP servers of orchestrator.toml are now, in orchestrator.lock beside it.

    Each server's command or URL, its release, and digests of what it says of each tool. With that file, workers refuse
    the steps of a server that has become another one. Commit it.
    """
    from orchestrator_client.contract.lock import LOCK_NAME, Lock, load_lock, lock_file

    now, before = Lock.model_validate(_ask("lock")), load_lock()
    changes = list((before or Lock()).changes(now))
    for change in changes:
        click.echo(printable(change), err=True)
    if check:
        if before is None:
            raise Fault(f"error: there is no {LOCK_NAME} here; `orchestrator tools lock` writes it", ExitCode.INVALID)
        click.get_current_context().exit(ExitCode.RUN_FAILED if changes else ExitCode.SUCCESS)
    lock_file().write_text(now.to_text(), encoding="utf-8")
    tools_of_all = sum(len(server.tools) for server in now.mcp.values())
    click.echo(f"{lock_file()}: {plural(len(now.mcp), 'server')}, {plural(tools_of_all, 'tool')}")


def _wanted(
    found: Iterable[ToolInfo], word: str | None, category: str | None, source: str | None, tags: tuple[str, ...]
) -> Iterator[ToolInfo]:
    """The tools that are as asked, by name."""
    for tool in sorted(found, key=lambda tool: tool.name):
        fits = category in (None, tool.category) and source in (None, tool.source) and set(tags) <= set(tool.tags)
        if fits and (word is None or word.lower() in f"{tool.name} {tool.description}".lower()):
            yield tool


def table_of(found: Iterable[ToolInfo]) -> Table:
    """Tools, one a line."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for heading in ("NAME", "SOURCE", "CATEGORY", "LEVEL", "REPEAT", "DESCRIPTION"):
        table.add_column(heading, no_wrap=True)
    for tool in found:
        described = one_line(tool.description, DESCRIPTION_CHARACTERS)
        cells = (one_line(tool.name), tool.source, tool.category, tool.level, repeat(tool), described)
        table.add_row(*(Text(str(cell)) for cell in cells))
    return table


def repeat(tool: ToolInfo) -> str:
    """What doing it twice means: `reads`, `same` or `again`."""
    return "reads" if tool.read_only else "same" if tool.idempotent else "again"


def _described(tool: ToolInfo) -> Iterator[str]:
    """One tool, for a person: a line a fact, and then a line a parameter."""
    twice = {"reads": "reads only", "same": "may be done twice", "again": "doing it again does it again"}[repeat(tool)]
    yield f"{printable(tool.name)}  ({tool.source}, {tool.category}, {tool.level}; {twice})"
    yield from (printable(line) for line in tool.description.strip().splitlines())
    if tool.tags:
        yield f"tags: {one_line(', '.join(tool.tags))}"
    properties, required = tool.parameters.get("properties") or {}, tool.parameters.get("required") or ()
    yield "parameters:" if properties else "parameters: none are declared"
    for name, schema in properties.items():
        facts = [type_of(schema), "required" if name in required else ""]
        facts += [f"default {one_line(json.dumps(schema['default']), 60)}"] if "default" in schema else []
        described = one_line(str(schema.get("description") or ""))
        yield f"  {one_line(name)}: {', '.join(fact for fact in facts if fact)}{f'. {described}' if described else ''}"
    if tool.result is not None:
        yield f"result: {one_line(json.dumps(tool.result, ensure_ascii=False), 400)}"


def type_of(schema: Mapping[str, Any]) -> str:
    """The type that a schema allows, in a word or two."""
    match schema:
        case {"enum": list(values)}:
            return " | ".join(json.dumps(value) for value in values)
        case {"type": "array", "items": {"type": str(inner)}}:
            return f"list of {inner}"
        case {"type": str(one)}:
            return one
        case {"anyOf": list(branches)} | {"oneOf": list(branches)}:
            return " or ".join(dict.fromkeys(type_of(branch) for branch in branches))
        case {"$ref": str(reference)}:
            return reference.rpartition("/")[2]
    return "anything"
