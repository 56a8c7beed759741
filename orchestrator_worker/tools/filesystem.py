"""Files of the run's working folder. A path in a result is the path as the plan wrote it, normalised.

What is wrong with the world (no such file, no permission) is a reported failure; what is wrong with the parameters
(a path outside, a device, a file that is no text) is raised, because another attempt would meet it again.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EXDEV
from fnmatch import fnmatchcase
from functools import wraps
from typing import Any, TypeVar

from orchestrator_client.contract.caps import VALUE_BYTES
from orchestrator_client.contract.catalog import Parameters
from orchestrator_client.contract.catalog.files import (
    ListParameters,
    PathParameters,
    TransferParameters,
    WriteParameters,
)
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed, ValueTooLarge
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.paths import Place, kind_of, kind_of_mode, locate, open_regular, parent_of

LIST_ITEMS = 100_000
"""Entries that one listing may visit."""

LIST_DEPTH = 100
"""Folders within folders that a `**` pattern descends."""

CHUNK_BYTES = 1024 * 1024
"""Read and written at a time when a file is copied."""

LASTING = (FileExistsError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError)
"""Errors that another attempt would meet again."""

P = TypeVar("P", bound=Parameters)


def _reports(action: str) -> Callable[[Callable[[ToolContext, P], Json]], Callable[[ToolContext, P], ToolResult]]:
    """Turn a function that returns an output, or meets an `OSError`, into a tool."""

    def decorate(function: Callable[[ToolContext, P], Json]) -> Callable[[ToolContext, P], ToolResult]:
        @wraps(function)
        def tool(context: ToolContext, parameters: P) -> ToolResult:
            try:
                return ToolResult(function(context, parameters))
            except OSError as error:
                path = str(getattr(parameters, "path", None) or getattr(parameters, "source", ""))
                output = {"action": action, "path": path}
                lasting = isinstance(error, LASTING)
                return ToolResult(output, success=False, error=_said(action, path, error), retryable=not lasting)

        return tool

    return decorate


@_reports("read")
def read(context: ToolContext, parameters: PathParameters) -> Json:
    """Read a UTF-8 text file: `{action, path, content, size}`, size in bytes.

    Raises:
        ParametersInvalid: the path is outside, not a regular file, or its content is not UTF-8.
        ValueTooLarge: the file is larger than a step's value may be.
    """
    place = locate(parameters.path, context)
    with parent_of(place) as (folder, name), open(open_regular(folder, name, os.O_RDONLY, place.given), "rb") as file:
        content = file.read(VALUE_BYTES + 1)
    if len(content) > VALUE_BYTES:
        raise ValueTooLarge(f"{place.given!r} is larger than {VALUE_BYTES} bytes; split it, or have a command read it")
    return {"action": "read", "path": place.given, "content": _decoded(content, place.given), "size": len(content)}


@_reports("write")
def write(context: ToolContext, parameters: WriteParameters) -> Json:
    """Write a file, creating its folders: `{action, path, size}`. Readers see the old content or the new."""
    place = locate(parameters.path, context)
    content = _encoded(parameters.content)
    with parent_of(place, create=True) as (folder, name), _replacement(folder, name, place.given) as descriptor:
        _write_all(descriptor, content)
    return {"action": "write", "path": place.given, "size": len(content)}


@_reports("append")
def append(context: ToolContext, parameters: WriteParameters) -> Json:
    """Add to a file's end, creating it: `{action, path, size}`, size being the file's afterwards."""
    place = locate(parameters.path, context)
    content = _encoded(parameters.content)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with parent_of(place, create=True) as (folder, name):
        descriptor = open_regular(folder, name, flags, place.given)
        try:
            _write_all(descriptor, content)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    return {"action": "append", "path": place.given, "size": size}


@_reports("copy")
def copy(context: ToolContext, parameters: TransferParameters) -> Json:
    """Copy a file, creating the folders of its destination: `{source, destination}`."""
    source = locate(parameters.source, context)
    target = _target(context, parameters)
    _copy(source, target)
    return {"action": "copy", "source": source.given, "destination": target.given}


@_reports("move")
def move(context: ToolContext, parameters: TransferParameters) -> Json:
    """Move or rename a file or folder, replacing a file that is there: `{source, destination}`."""
    source = locate(parameters.source, context, follow=False)
    target = _target(context, parameters)
    try:
        with parent_of(source) as (old, name), parent_of(target, create=True) as (new, new_name):
            os.replace(name, new_name, src_dir_fd=old, dst_dir_fd=new)
    except OSError as error:
        if error.errno != EXDEV:
            raise
        _copy(source, target)
        _delete(source)
    return {"action": "move", "source": source.given, "destination": target.given}


@_reports("delete")
def delete(context: ToolContext, parameters: PathParameters) -> Json:
    """Delete a file, a link or an empty folder: `{path}`."""
    place = locate(parameters.path, context, follow=False)
    if not place.parts:
        raise ParametersInvalid(f"{place.given!r} is the run's working folder itself, which no step may delete")
    _delete(place)
    return {"action": "delete", "path": place.given}


@_reports("exists")
def exists(context: ToolContext, parameters: PathParameters) -> Json:
    """Say whether a path exists, and what it is: `{path, exists, type, size}`."""
    place = locate(parameters.path, context)
    try:
        with parent_of(place) as (folder, name):
            kind = kind_of(folder, name)
            size = os.stat(name, dir_fd=folder, follow_symlinks=False).st_size if kind else None
    except FileNotFoundError:
        kind, size = None, None
    return {"action": "exists", "path": place.given, "exists": kind is not None, "type": kind, "size": size}


@_reports("list")
def list_folder(context: ToolContext, parameters: ListParameters) -> Json:
    """List a folder: `{items: [{name, path, type, size}], count}`, sorted by path. Links are listed, not followed."""
    place = locate(parameters.path, context)
    pattern = tuple(part for part in parameters.pattern.split("/") if part not in ("", "."))
    with parent_of(place) as (folder, name):
        top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        found = [(parts, status) for parts, status in _walked(top, pattern) if _matches(parts, pattern)]
    finally:
        os.close(top)
    items = [_item(place.given, parts, status) for parts, status in sorted(found, key=lambda entry: entry[0])]
    return {"action": "list", "path": place.given, "items": items, "count": len(items)}


def _said(action: str, path: str, error: OSError) -> str:
    """An `OSError` as a sentence. `File not found: p` is what existing pipelines look for."""
    # The part that was missing, where it is a folder on the way.
    part = error.filename if isinstance(error.filename, str) and error.filename != os.path.basename(path) else ""
    match error:
        case FileNotFoundError():
            return f"File not found: {path}" + (f" (there is no {part!r})" if part else "")
        case PermissionError():
            return f"cannot {action} {path}: the worker's user may not; change its permissions"
    return f"cannot {action} {path}: {error.strerror or error}"


def _decoded(content: bytes, given: str) -> str:
    """Content as text, exactly: no newline is translated and no byte-order mark is dropped.

    Raises:
        ParametersInvalid: it is not UTF-8; the message names the first bad byte.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ParametersInvalid(
            f"{given!r} is not UTF-8 text: byte 0x{content[error.start]:02x} at offset {error.start}; convert it first"
        ) from None


def _encoded(content: Json) -> bytes:
    """What a file is to hold: text as UTF-8, anything else as JSON with an indent of 2.

    Raises:
        ParametersInvalid: it holds NaN, half a surrogate pair, or nests too deep.
    """
    try:
        text = (
            content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        )
        return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ParametersInvalid(f"parameter 'content' can be written neither as text nor as JSON: {error}") from error


def _write_all(descriptor: int, content: bytes) -> None:
    """Write to the end: one call may take less than it was given."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


@contextmanager
def _replacement(folder: int, name: str, given: str) -> Iterator[int]:
    """A descriptor of a new file that takes the place of `name` when the block ends well."""
    mode = _mode_to_keep(folder, name, given)
    temporary = f".orchestrator-{secrets.token_hex(8)}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
    try:
        try:
            if mode is not None:
                os.fchmod(descriptor, mode)
            yield descriptor
            # The step is recorded as done after this: a power cut must not leave an empty file behind the record.
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        raise


def _mode_to_keep(folder: int, name: str, given: str) -> int | None:
    """Permissions of the regular file that is to be replaced; None where there is none yet."""
    if kind_of(folder, name) is None:
        return None
    # Opened for reading only to be checked: a FIFO or device must not be replaced by a file in silence.
    descriptor = open_regular(folder, name, getattr(os, "O_PATH", os.O_RDONLY), given)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _target(context: ToolContext, parameters: TransferParameters) -> Place:
    """Where to put it: a folder that exists takes it under its own name."""
    target = locate(parameters.destination, context)
    if target.path.is_dir():
        return locate(os.path.join(parameters.destination, os.path.basename(parameters.source.rstrip("/"))), context)
    return target


def _copy(source: Place, target: Place) -> None:
    """Copy content and permissions in chunks, so that a large file costs no memory."""
    with (
        parent_of(source) as (old, name),
        open(open_regular(old, name, os.O_RDONLY, source.given), "rb") as file,
        parent_of(target, create=True) as (new, new_name),
        _replacement(new, new_name, target.given) as descriptor,
    ):
        os.fchmod(descriptor, stat.S_IMODE(os.fstat(file.fileno()).st_mode))
        while chunk := file.read(CHUNK_BYTES):
            _write_all(descriptor, chunk)


def _delete(place: Place) -> None:
    """Unlink a file or link, remove an empty folder. The name itself goes, never the target of a link."""
    with parent_of(place) as (folder, name):
        if kind_of(folder, name) == "directory":
            os.rmdir(name, dir_fd=folder)
        else:
            os.unlink(name, dir_fd=folder)


def _walked(top: int, pattern: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], os.stat_result]]:
    """Every entry that the pattern can reach, by descriptor, so that no link leads out on the way down."""
    deepest = LIST_DEPTH if "**" in pattern else len(pattern) - 1
    visited = 0
    for folder, folders, files, descriptor in os.fwalk(".", dir_fd=top, follow_symlinks=False):
        parents = tuple(part for part in folder.split("/") if part != ".")
        for name in (*folders, *files):
            if (visited := visited + 1) > LIST_ITEMS:
                raise ToolFailed(f"the folder has more than {LIST_ITEMS} entries; list a folder further down")
            with suppress(FileNotFoundError):
                yield (*parents, name), os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if len(parents) >= deepest:
            folders.clear()


def _matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether the parts of a path match those of a glob; `**` stands for any number of folders, and for none."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _item(given: str, parts: tuple[str, ...], status: os.stat_result) -> dict[str, Any]:
    """One entry of a listing; its path starts like the one that was asked for, so that a later step can use it."""
    return {
        "name": parts[-1],
        "path": os.path.normpath(os.path.join(given, *parts)),
        "type": kind_of_mode(status.st_mode),
        "size": status.st_size,
    }
