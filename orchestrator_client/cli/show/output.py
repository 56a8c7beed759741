"""Results as JSON: to stdout, or to a file that is there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from orchestrator_client.cli.show.text import json_text

STDOUT = "-"


def check_target(_context: click.Context, _parameter: click.Parameter, target: str | None) -> str | None:
    """Refuse a file that could not be written at the end of a long run.

    Raises:
        click.BadParameter: its folder is not there or not writable, or it is a folder itself.
    """
    if target is None or target == STDOUT:
        return target
    path = Path(target).absolute()
    if path.is_dir():
        raise click.BadParameter(f"'{target}' is a folder; name a file in it")
    if not os.access(path.parent, os.W_OK):
        raise click.BadParameter(f"the folder of '{target}' is missing or not writable")
    return target


def write(value: Any, target: str) -> None:
    """Write `value` as JSON to a file, or to stdout for `-`."""
    text = json_text(value)
    if target == STDOUT:
        click.echo(text)
    else:
        # What UTF-8 cannot say, half of a surrogate pair, stands in JSON by the same escape as in Python.
        _replace(Path(target), f"{text}\n".encode("utf-8", "backslashreplace"))


def _replace(path: Path, content: bytes) -> None:
    """Put the content in the file's place in one move; a device or pipe is written to."""
    path = path.resolve()
    if path.exists() and not path.is_file():
        path.write_bytes(content)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
