"""An MCP server without manners, written by hand: `python -m tests.rude_mcp_server <how it misbehaves>`. It starts at
once, since it imports nothing."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

TOOL = {"name": "work", "description": "Work", "inputSchema": {"type": "object", "properties": {}}}


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def answer(request: dict[str, Any], result: dict[str, Any]) -> None:
    say(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}))


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


def note() -> str:
    params = {"level": "info", "data": "x"}
    return json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": params})


called: list[int] = []
cancelled: list[int] = []
"""Ids of calls, and of those that it was told to stop."""


def hangs(request: dict[str, Any]) -> None:
    """Leaves its first call without an answer, and says in the next what it was told of it."""
    called.append(request["id"])
    if len(called) > 1:
        answer(request, text("told to stop" if cancelled == called[:1] else "told nothing"))


def floods(request: dict[str, Any]) -> None:
    while True:
        sys.stdout.write((note() + "\n") * 1000)
        sys.stdout.flush()


def chatters(request: dict[str, Any]) -> None:
    """Writes to stdout what belongs into a log, and works all the same."""
    for number in range(20):
        say(f"working on it ({number})")
    answer(request, text("done"))


def babbles(request: dict[str, Any]) -> None:
    while True:
        say("not a message")


def swells(request: dict[str, Any]) -> None:
    """One message without an end."""
    sys.stdout.write('{"jsonrpc":"2.0","id":' + str(request["id"]) + ',"result":{"content":[{"type":"text","text":"')
    while True:
        sys.stdout.write("x" * 1024 * 1024)


def naps(request: dict[str, Any]) -> None:
    """Misbehaves in no way, and takes a moment."""
    time.sleep(0.2)
    answer(request, text("done"))


def lies(request: dict[str, Any]) -> None:
    """Answers in a form that the protocol does not have."""
    answer(request, {"content": "just text"})


def forks(request: dict[str, Any]) -> None:
    """Has a child of its own, which holds on to its pipes."""
    import subprocess

    child = subprocess.Popen(
        [sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"]
    )
    answer(request, text(str(child.pid)))


HOW: dict[str, Callable[[dict[str, Any]], None]] = {
    function.__name__: function for function in (hangs, naps, floods, chatters, babbles, swells, lies, forks)
}


def main(how: str) -> None:
    if how == "mute":
        time.sleep(600)
    if how == "talks":
        say("Welcome to a server that was never one")
        sys.exit(1)
    for line in sys.stdin:
        request = json.loads(line)
        match request.get("method"):
            case "initialize":
                version = request["params"]["protocolVersion"]
                info = {"name": "rude", "version": "0"}
                answer(request, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
            case "tools/list":
                answer(request, {"tools": [TOOL]})
            case "tools/call":
                HOW[how](request)
            case "notifications/cancelled":
                cancelled.append(request["params"]["requestId"])
            case _ if "id" in request:
                error = {"code": -32601, "message": "Method not found"}
                say(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}))


if __name__ == "__main__":
    main(sys.argv[1])
