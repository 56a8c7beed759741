"""Runs one program and holds it: `hold(SPEC, *WORDS)`, with SPEC as `cage.program` writes it, and the program's words.

By itself in a Python without `site` and without this project on its path, so that it starts quickly: each command pays
for what is imported here. So it goes without json, re, enum, ctypes and contextlib. Of its processes, the warden stays
outside and watches; the door enters namespaces of its own, where the kernel gives them; within, a first process waits
for the program, and when it ends all that the program left ends too. Where there are no namespaces the warden adopts
what the program leaves, and kills that. If the worker dies, its end of the lifeline closes, and the warden ends all.
"""

from __future__ import annotations

import _ctypes
import _socket
import fcntl
import marshal
import os
import resource
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn

    Spec = dict[str, Any]
else:
    import _signal as signal

LOOK_SECONDS = 0.02
"""Between two looks at what the program uses; what it can grab in this time is the most by which it passes a limit."""
GRACE_SECONDS = 1.0
"""From SIGTERM to SIGKILL."""
RESERVED_PIDS = 300
"""Ids that a namespace does not give out twice, and so are none of the program's share."""
PIDS_COUNTED_APART = (6, 14)
"""Linux from which on a namespace has a highest process id of its own; before, it would be the whole machine's."""
SHARED_BYTES = 64 * 1024**2
"""Of /dev/shm, whose files are memory that no process is seen to hold."""
EXEC_FAILED = 127

NEW_MOUNTS, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x00020000, 0x10000000, 0x20000000, 0x40000000
_PARENT_DEATH_SIGNAL, _CHILD_SUBREAPER, _NO_NEW_PRIVILEGES = 1, 36, 38
_MOUNT_PRIVATE, _MOUNT_SAFE = 0x4000 | 0x40000, 0x2 | 0x4 | 0x8
_MOUNT_BIND, _MOUNT_READ_ONLY_AGAIN = 0x1000, 0x1 | 0x20
_DROP_CAPABILITY = 24
_FILE_CAPABILITIES, _CAPABILITIES = 8, 64
_SET_FLAGS, _UP = 0x8914, 0x1
_PAGE = resource.getpagesize()
_libc = _ctypes.dlopen(None, 0) if sys.platform == "linux" else 0  # type: ignore[arg-type]  # None is this process
"""The C library; 0 where what is asked of it is not there."""


class suppress:
    """Passes over errors of some kinds, as that of contextlib does."""

    def __init__(self, *kinds: type[BaseException]) -> None:
        self._kinds = kinds

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, self._kinds)


def hold(spec: str, *words: str) -> None:
    """Run a program, and report how it ended as lines of a name and its value."""
    _hold({**marshal.loads(bytes.fromhex(spec)), "words": words})  # noqa: S302  # our own parent's


def _hold(spec: Spec) -> None:
    for descriptor in (spec["report"], spec["lifeline"]):
        os.set_inheritable(descriptor, False)
    _prctl(_CHILD_SUBREAPER, 1)
    door, flags = _door(spec)
    _report(spec, "network", int(not flags & NEW_NETWORK))
    why = _watch(spec, door)
    if why is not None:
        _report(spec, "stopped", why)
    _end_all(door)


# --- outside -------------------------------------------------------------------------------------------------------


def _door(spec: Spec) -> tuple[int, int]:
    """Start the process that leads in, with as many namespaces as the kernel gives; its id, and what it got."""
    wanted = NEW_PIDS | NEW_MOUNTS | (0 if spec.get("network") else NEW_NETWORK)
    for flags in (wanted | NEW_USER, wanted, 0) if spec["namespaces"] and _libc else (0,):
        said, saying = os.pipe()
        mapped, mapping = os.pipe()
        door = os.fork()
        if not door:
            os.close(mapping)
            _enter(spec, flags, saying, mapped)
        os.close(saying)
        os.close(mapped)
        entered = os.read(said, 1) == b"y" and (not flags & NEW_USER or _mapped(door))
        os.write(mapping, b"y" if entered else b"n")
        os.close(said)
        os.close(mapping)
        if entered:
            return door, flags
        os.waitpid(door, 0)
    raise AssertionError("a door without namespaces always opens")


def _mapped(door: int) -> bool:
    """Give the users of this namespace to that of the door under their own numbers: all of them, or only our own."""
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        with open(f"/proc/self/{kind}_map") as file:
            ranges = [line.split() for line in file]
        whole = "".join(f"{first} {first} {count}\n" for first, _, count in ranges)
        try:
            if os.geteuid():
                whole = f"{own} {own} 1\n"
                with open(f"/proc/{door}/setgroups", "w") as file:
                    file.write("deny")
            with open(f"/proc/{door}/{kind}_map", "w") as file:
                file.write(whole)
        except OSError:
            return False
    return True


def _watch(spec: Spec, door: int) -> str | None:
    """Wait until the program ends, or has to; why it has to, or None. Asked for by the lifeline, it says nothing."""
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while not _ended(door):
        ready, _, _ = select.select([woken, spec["lifeline"]], [], [], LOOK_SECONDS)
        if spec["lifeline"] in ready:
            _ask_to_end(door)
            return None
        if woken in ready and os.read(woken, 64) and _ended(door):
            return None
        if spec["isolate"] and (why := _passed(spec)):
            return why
    return None


def _ended(pid: int) -> bool:
    """Whether a child has ended; it is reaped then."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _passed(spec: Spec) -> str:
    """The limit that the program and all its children together have passed, in words; empty for none."""
    tasks = resident = 0
    pids = _descendants()
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{pid}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            tasks += int(fields[17])
            resident += int(fields[21]) * _PAGE
    if tasks > spec["processes"]:
        return f"it had more than {spec['processes']} processes and threads"
    if resident > spec["memory_bytes"] and sum(map(_proportional_bytes, pids)) > spec["memory_bytes"]:
        return f"it held more than {spec['memory_bytes']} bytes of memory"
    return ""


def _proportional_bytes(pid: int) -> int:
    """Memory of a process, what it shares with others by its share. Slower to find than what is resident."""
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _descendants() -> list[int]:
    """The processes below this one, but for those that this script itself is made of."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    below = [int(word) for word in file.read().split()]
                found += below
                waiting += below
    return found


def _ask_to_end(door: int) -> None:
    """SIGTERM to all within, and a moment for it."""
    inside = [pid for pid in _descendants() if pid != door and not _is_first(pid)] if _libc else [-door]
    _kill(inside, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and not _ended(door):
        select.select([], [], [], LOOK_SECONDS)


def _is_first(pid: int) -> bool:
    """Whether a process is the first of a namespace, which ends by itself when the program has."""
    with suppress(OSError), open(f"/proc/{pid}/status") as file:
        ids = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [])
        return len(ids) > 1 and ids[-1] == "1"
    return False


def _end_all(door: int) -> None:
    """SIGKILL to everything below, until there is nothing: what is stopped starts no more."""
    if not _libc:
        # Other systems do not say who descends from whom; the door has made a group of all that stay in it.
        _kill([-door], signal.SIGKILL)
        return
    while pids := _descendants():
        _kill(pids, signal.SIGSTOP)
        _kill(pids, signal.SIGKILL)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _kill(pids: list[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


# --- inside --------------------------------------------------------------------------------------------------------


def _enter(spec: Spec, flags: int, saying: int, mapped: int) -> NoReturn:
    """The door: enter the namespaces, wait until their users are known, and wait for what is within. Never returns."""
    if not _libc:
        os.setsid()
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    os.write(saying, b"y" if not flags or (_libc and _c("unshare", flags) == 0) else b"n")
    if os.read(mapped, 1) != b"y":
        os._exit(1)
    if flags & NEW_PIDS and (first := os.fork()):
        os.waitpid(first, 0)
        os._exit(0)
    _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if flags & NEW_MOUNTS:
        _furnish(spec)
    if flags & NEW_NETWORK:
        _raise_loopback()
    _host(spec)


def _furnish(spec: Spec) -> None:
    """Show the program its own processes only. What the kernel refuses (it may, within containers) is left as it is."""
    if _c("mount", None, b"/", None, _MOUNT_PRIVATE, None):
        return
    _c("mount", b"shm", b"/dev/shm", b"tmpfs", _MOUNT_SAFE, b"size=%d" % SHARED_BYTES)
    if _c("mount", b"proc", b"/proc", b"proc", _MOUNT_SAFE, None):
        return
    if tuple(map(int, os.uname().release.split(".")[:2])) >= PIDS_COUNTED_APART:
        with suppress(OSError), open("/proc/sys/kernel/pid_max", "w") as file:
            file.write(str(RESERVED_PIDS + spec["processes"] + 1))
    # Root's number opens the system's settings, whatever its namespace.
    _c("mount", b"/proc/sys", b"/proc/sys", None, _MOUNT_BIND, None)
    _c("mount", None, b"/proc/sys", None, _MOUNT_BIND | _MOUNT_READ_ONLY_AGAIN | _MOUNT_SAFE, None)


def _raise_loopback() -> None:
    """A network of one's own has a loopback, switched off at first."""
    with suppress(OSError):
        any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        fcntl.ioctl(any_socket.fileno(), _SET_FLAGS, b"lo".ljust(16, b"\0") + _UP.to_bytes(16, sys.byteorder))
        any_socket.close()


def _host(spec: Spec) -> NoReturn:
    """Start the program, bury what dies, and report how the program ended. Never returns."""
    program = os.fork()
    if not program:
        _become(spec)
    while True:
        pid, status = os.wait()
        if pid == program:
            _report(spec, "code", os.waitstatus_to_exitcode(status))
            os._exit(0)


def _become(spec: Spec) -> NoReturn:
    """The program itself: limits first, and no way back. Never returns."""
    try:
        if _libc:
            os.setsid()
        _prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        _prctl(_NO_NEW_PRIVILEGES, 1)
        if spec["isolate"]:
            # What root may do with files and its own processes is numbered first; the rest is for changing the system.
            for capability in range(_FILE_CAPABILITIES, _CAPABILITIES):
                _prctl(_DROP_CAPABILITY, capability)
        for name, value in spec["limits"].items():
            _limit(getattr(resource, name), value)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvp(spec["words"][0], spec["words"])  # noqa: S606  # no shell is wanted
    except OSError as error:
        _report(spec, "refused", error.strerror)
    os._exit(EXEC_FAILED)


def _limit(kind: int, wanted: int) -> None:
    """One limit of a process, but none above what holds already."""
    if kind == resource.RLIMIT_NPROC:
        if not (tasks := _tasks_of_user()):
            return  # a system that does not tell: a limit by itself might be below what the user has
        wanted += tasks
    hard = resource.getrlimit(kind)[1]
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    # The signal of the soft limit says why; at the hard one there is only SIGKILL, for a program that ignores it.
    beyond = 1 if kind == resource.RLIMIT_CPU and allowed == wanted != hard else 0
    resource.setrlimit(kind, (allowed, allowed + beyond))


def _tasks_of_user() -> int:
    """Processes and threads that this user has now, as far as they are seen: the system counts them all together."""
    tasks = 0
    for name in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        with suppress(OSError):
            if os.stat(f"/proc/{name}").st_uid == os.getuid():
                tasks += len(os.listdir(f"/proc/{name}/task"))
    return tasks


def _report(spec: Spec, name: str, value: object) -> None:
    """A line for the worker; it may have gone."""
    with suppress(OSError):
        os.write(spec["report"], f"{name} {value}\n".encode())


def _prctl(option: int, value: int) -> None:
    if _libc:
        _c("prctl", option, value, 0, 0, 0)


def _c(function: str, *arguments: int | bytes | None) -> int:
    """Call a function of the C library, as ctypes does beneath."""
    return int(_ctypes.call_function(_ctypes.dlsym(_libc, function), arguments))
