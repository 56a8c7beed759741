"""What the shared suite asks of a source of tools: one tool for each behaviour, by whatever name.

A source takes part with a file that gives its tools, and a line in `adapters.ADAPTERS`. Its tools are:

`echo(text, count=1, flag=False, rows=[], options={})`   returns a mapping of what it was given
`report(reason)`    reports failure, with the reason for its error
`fail(reason)`      raises, or whatever its source has for that
`wait(folder)`      makes `folder/started`, waits for ever, and makes `folder/stopped` when it is stopped
`meet(folder, name, of)`   makes `folder/<name>`, waits until that many files are there, and returns the name
`tell(times)`       reports progress that often: fractions of `times`, and the message `step <n>`
`leave(size)`       leaves an artifact of that many bytes
`large(megabytes)`  returns a text of that size
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest

from orchestrator_client.contract.tool import ToolSource


class ToolAdapter(Protocol):
    """One source of tools."""

    name: str
    source: ToolSource

    def install(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        """Make the tools known; `folder` is the test's own."""

    def uses(self, behaviour: str) -> str:
        """The name of the tool that behaves so."""
