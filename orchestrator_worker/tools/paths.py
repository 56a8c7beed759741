"""Confinement: a path that a plan names stays inside the run's working folder, or inside one that the worker allows.

A path is resolved first, symbolic links included, and must lie beneath a root. It is then walked again from that root,
one folder descriptor at a time, following no link: what was swapped for a link in between is refused, not followed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_worker.tools.base import ToolContext

PATH_BYTES = 4095
"""PATH_MAX of Linux, less its NUL."""

NAME_BYTES = 255
"""NAME_MAX of every common file system."""

_FOLDER_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
# Non-blocking, or opening a FIFO that nobody writes to would hang the worker before it can be refused.
_FILE_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ELSEWHERE = re.compile(r"~|[A-Za-z]:[\\/]|\\\\")
"""Starts that mean another place to some shell or system, and here would be odd names of files."""


@dataclass(frozen=True, slots=True)
class Place:
    """A resolved path beneath one of the roots."""

    given: str
    """As the plan wrote it, normalised: what results and errors show."""
    root: Path
    parts: tuple[str, ...]
    """From the root to the file; empty for the root itself."""

    @property
    def path(self) -> Path:
        """Absolute, and free of symbolic links when it was resolved."""
        return self.root.joinpath(*self.parts)


def locate(given: str, context: ToolContext, follow: bool = True) -> Place:
    """Resolve a path that a plan names. With `follow=False` a link at its end stands for itself, not for its target.

    Raises:
        ParametersInvalid: it lies outside the run's folder and those allowed, or is no path at all.
    """
    _check_text(given)
    joined = context.folder / given
    try:
        resolved = joined.resolve() if follow or joined.name in ("", "..") else joined.parent.resolve() / joined.name
    except (OSError, RuntimeError) as error:
        raise ParametersInvalid(f"path {given!r} cannot be resolved: {error}") from error
    for root in (root.resolve() for root in (context.folder, *context.allowed)):
        if resolved.is_relative_to(root):
            return Place(os.path.normpath(given), root, resolved.relative_to(root).parts)
    raise _outside(given)


@contextmanager
def parent_of(place: Place, create: bool = False) -> Iterator[tuple[int, str]]:
    """Yield a descriptor of the folder that holds the place, and its name there (`.` for a root).

    Raises:
        ToolFailed: a part of the path was swapped for a symbolic link after it was resolved, or is no folder.
        OSError: a folder is missing or closed to the worker.
    """
    folder = os.open(place.root, _FOLDER_FLAGS)
    try:
        for name in place.parts[:-1]:
            folder = _descended(folder, name, place, create)
        yield folder, place.parts[-1] if place.parts else "."
    finally:
        os.close(folder)


def open_regular(folder: int, name: str, flags: int, given: str) -> int:
    """Open a regular file by its folder's descriptor, following no link and never blocking.

    Raises:
        ParametersInvalid: it is a folder, a FIFO, a device or a socket.
        ToolFailed: it is a symbolic link: it was swapped for one after its path was resolved.
        OSError: it is missing or closed to the worker.
    """
    if kind := kind_of(folder, name):
        _check_regular(kind, given)
    descriptor = os.open(name, flags | _FILE_FLAGS, 0o666, dir_fd=folder)
    try:
        _check_regular(kind_of_mode(os.fstat(descriptor).st_mode), given)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def write_bytes(given: str, content: bytes, context: ToolContext, tool: str) -> None:
    """Write a whole file, with the folders above it.

    Raises:
        ParametersInvalid: the path leads out of what the step may write, or to what is no file.
        ToolFailed: the file cannot be written.
    """
    place = locate(given, context)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with parent_of(place, create=True) as (folder, name):
            file = os.fdopen(open_regular(folder, name, flags, place.given), "wb")
        with file:
            file.write(content)
    except OSError as error:
        raise ToolFailed(f"{tool}: {given!r} cannot be written: {error.strerror}") from error


def kind_of(folder: int, name: str) -> str | None:
    """`file`, `directory`, `symlink` or `other`; None where there is nothing."""
    try:
        return kind_of_mode(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return None


def kind_of_mode(mode: int) -> str:
    """`file`, `directory`, `symlink` or `other`, by the mode that a stat tells."""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
    return kinds.get(stat.S_IFMT(mode), "other")


def _check_text(given: str) -> None:
    """Refuse what is no path, or what means another place to a shell or to another system.

    Lengths are checked here because the system's own errors for them (ENAMETOOLONG) name no limit.

    Raises:
        ParametersInvalid: in every such case.
    """
    if not given or "\0" in given:
        raise ParametersInvalid(f"path {given[:60]!r} is empty or contains a NUL character; name a file")
    if len(os.fsencode(given)) > PATH_BYTES or any(len(os.fsencode(part)) > NAME_BYTES for part in given.split("/")):
        raise ParametersInvalid(
            f"path {given[:60]!r}… is too long: at most {PATH_BYTES} bytes, and {NAME_BYTES} between slashes; else it "
            "would lie outside the run's working folder and of every file system"
        )
    if _ELSEWHERE.match(given):
        raise _outside(given)


def _outside(given: str) -> ParametersInvalid:
    """The one refusal of confinement: it names the setting that would allow the path."""
    return ParametersInvalid(
        f"path {given!r} is outside the run's working folder; allow it with ORCHESTRATOR_ALLOW_PATHS on the worker"
    )


def _descended(folder: int, name: str, place: Place, create: bool) -> int:
    """The descriptor one level down; closes the one above, once there is another to close."""
    if create and kind_of(folder, name) is None:
        # Another step may create the same folder at the same moment.
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)
    try:
        below = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
    except NotADirectoryError:
        raise _swapped(place.given, name) from None
    except OSError as error:
        if kind_of(folder, name) == "symlink":
            raise _swapped(place.given, name) from error
        raise
    os.close(folder)
    return below


def _swapped(given: str, name: str) -> ToolFailed:
    """A refusal in the middle of the walk. Retryable: whoever swaps folders may have finished by then."""
    return ToolFailed(f"path {given!r} was refused: {name!r} is not a folder, or became a symbolic link meanwhile")


def _check_regular(kind: str, given: str) -> None:
    """Refuse all but regular files, each with what to do about it.

    Raises:
        ParametersInvalid: a folder, FIFO, device or socket.
        ToolFailed: a symbolic link, which was a file when its path was resolved.
    """
    if kind == "directory":
        raise ParametersInvalid(f"{given!r} is a folder; name a file in it, or use filesystem.list")
    if kind == "other":
        raise ParametersInvalid(f"{given!r} is not a regular file but a FIFO, a device or a socket; it is not opened")
    if kind == "symlink":
        raise ToolFailed(f"path {given!r} was refused: it became a symbolic link while it was being opened")
