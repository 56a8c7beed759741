"""What holds a restricted call: each limit stops it and says so, with namespaces and without.

Every limit is small: were it not held, little would happen to the machine that the tests run on.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, StepTimeout, ToolFailed
from orchestrator_client.contract.project import CageLimits
from orchestrator_worker.cage import warden
from orchestrator_worker.cage.limits import Cage
from orchestrator_worker.cage.program import Ended, Program, passed_on, run
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.guest import invite
from tests.unit.test_tools_terminal import alive

SMALL = CageLimits(
    cpu_seconds=1,
    memory_bytes=128 * 1024**2,
    file_bytes=1024**2,
    processes=40,
    open_files=64,
    output_bytes=5 * 1024**2,
)
LONG = 60
"""Seconds for a program, which is to pass another limit before."""
NAMESPACES = pytest.mark.parametrize("namespaces", [True, False])


def held(
    folder: Path, *words: str, namespaces: bool = True, network: bool = False, limits: CageLimits = SMALL
) -> Ended:
    program = Program(words, str(folder), passed_on(), LONG)
    return asyncio.run(run(program, Cage(limits, network, namespaces)))


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-I", "-c", code)


@NAMESPACES
def test_a_fork_bomb(tmp_path: Path, namespaces: bool) -> None:
    # At most a few hundred could ever come of it: each but the first forks a limited number of times.
    # One that the system itself refuses, for what else this user has, must not end the first before it was looked at.
    bomb = f"""
import os, time
try:
    for _ in range(7): os.fork()
except OSError:
    pass
time.sleep({LONG})
"""
    ended = held(tmp_path, *python(bomb), namespaces=namespaces)
    assert str(ended.failure).startswith("stopped: it had more than 40 processes and threads")
    assert not alive(tmp_path)


@NAMESPACES
def test_many_threads(tmp_path: Path, namespaces: bool) -> None:
    code = f"""
import threading, time
threading.stack_size(65536)
for _ in range(60): threading.Thread(target=time.sleep, args=({LONG},), daemon=True).start()
time.sleep({LONG})
"""
    ended = held(tmp_path, *python(code), namespaces=namespaces)
    assert "processes and threads" in str(ended.failure) or "can't start new thread" in str(ended.failure)


@NAMESPACES
def test_a_memory_hog(tmp_path: Path, namespaces: bool) -> None:
    code = (
        "import time\nhog = []\n"
        f"for _ in range(30): hog.append(bytearray(8 * 2**20)); time.sleep(0.02)\ntime.sleep({LONG})"
    )
    ended = held(tmp_path, *python(code), namespaces=namespaces)
    assert str(ended.failure).startswith(f"stopped: it held more than {SMALL.memory_bytes} bytes of memory")


def test_a_hog_of_many_processes(tmp_path: Path) -> None:
    code = f"import os, time\nfor _ in range(3): os.fork()\nx = bytearray(24 * 2**20)\ntime.sleep({LONG})"
    assert "bytes of memory" in str(held(tmp_path, *python(code)).failure)


def test_memory_that_children_share_is_counted_once(tmp_path: Path) -> None:
    code = "import os, time\nx = b'x' * (50 * 2**20)\nfor _ in range(3): os.fork()\ntime.sleep(0.3)"
    assert held(tmp_path, *python(code)).failure is None


def test_output_without_end(tmp_path: Path) -> None:
    ended = held(tmp_path, "yes")
    assert str(ended.failure).startswith(f"stopped: it wrote more than {SMALL.output_bytes} bytes of output")
    assert len(ended.stdout) < 2 * 1024**2


@NAMESPACES
def test_an_endless_loop(tmp_path: Path, namespaces: bool) -> None:
    ended = held(tmp_path, "sh", "-c", "while :; do :; done", namespaces=namespaces)
    assert str(ended.failure).startswith("killed by signal SIGXCPU (more than 1 s of processor time)")


def test_a_large_file(tmp_path: Path) -> None:
    ended = held(tmp_path, "sh", "-c", "exec head -c 2000000 /dev/zero > big")
    assert "File too large" in str(ended.failure) or "SIGXFSZ (a file of more than" in str(ended.failure)
    assert (tmp_path / "big").stat().st_size <= SMALL.file_bytes


def test_open_files(tmp_path: Path) -> None:
    ended = held(tmp_path, *python("x = [open('/dev/null') for _ in range(100)]"))
    assert "Too many open files" in str(ended.failure)


def test_its_time_whatever_its_step_gives_it(tmp_path: Path) -> None:
    ended = held(tmp_path, "sleep", str(LONG), limits=SMALL.model_copy(update={"wall_seconds": 0.3}))
    assert str(ended.failure).startswith("stopped: it ran longer than 0.3 s")


def test_it_has_no_core_and_gains_no_privileges(tmp_path: Path) -> None:
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE), open('/proc/self/status').read())"
    told = held(tmp_path, *python(code)).stdout
    assert "(0, 0)" in told
    assert "NoNewPrivs:\t1" in told


needs_namespaces = pytest.mark.skipif(
    sys.platform != "linux" or os.system("unshare -Urn true 2>/dev/null") != 0,
    reason="this kernel gives no namespaces here",
)


@needs_namespaces
class TestNamespaces:
    def test_there_is_no_network_but_its_own(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
            refused = held(tmp_path, *python(code))
            assert "Connection refused" in str(refused.failure)
            assert "restricted calls have no network; allow it with network in [tools]" in str(refused.failure)
            assert held(tmp_path, *python(code), network=True).failure is None

    def test_it_serves_itself(self, tmp_path: Path) -> None:
        code = "import socket as s; a = s.create_server(('127.0.0.1', 0)); s.create_connection(a.getsockname(), 2)"
        assert held(tmp_path, *python(code)).failure is None

    def test_it_sees_its_own_processes_only(self, tmp_path: Path) -> None:
        code = "import os; print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))"
        assert held(tmp_path, *python(code)).stdout == "[1, 2]\n"

    def test_the_environment_of_the_worker_cannot_be_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '; true"
        monkeypatch.setenv("ORCHESTRATOR_SECRET_CANARY", "canary-in-the-environment")
        told = held(tmp_path, "sh", "-c", script).stdout
        assert "PATH=" in told
        assert "canary" not in told

    def test_the_systems_settings_are_not_its_own(self, tmp_path: Path) -> None:
        code = "open('/proc/sys/vm/swappiness', 'w').write('60')"
        assert "Error" in str(held(tmp_path, *python(code)).failure)


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    limits = CageLimits(processes=40, cpu_seconds=20)
    return ToolContext(run="r", instance="s", attempt=1, folder=tmp_path, timeout_seconds=60, cage=Cage(limits))


class TestGuests:
    """A tool of any source, in a process of its own."""

    def test_a_native_tool_does_its_work(self, context: ToolContext) -> None:
        written = asyncio.run(invite("filesystem.write", {"path": "a.txt", "content": "grüße"}, context))
        assert isinstance(written, ToolResult)
        assert (written.success, written.tool) == (True, "filesystem.write")
        assert (context.folder / "a.txt").read_text() == "grüße"

    def test_a_function_runs_elsewhere(self, context: ToolContext) -> None:
        result = asyncio.run(invite("python:os:getpid", {}, context))
        assert isinstance(result, ToolResult)
        assert result.output != os.getpid()

    def test_what_it_refuses_or_raises_comes_back(self, context: ToolContext) -> None:
        with pytest.raises(ParametersInvalid, match="outside the run's working folder"):
            asyncio.run(invite("filesystem.read", {"path": "/etc/passwd"}, context))
        with pytest.raises(ToolFailed, match="raised ValueError: no"):
            asyncio.run(invite("python:tests.functions:fail", {"message": "no"}, context))

    def test_its_death_is_a_failure(self, context: ToolContext) -> None:
        with pytest.raises(ToolFailed, match="in a process of its own, exited with status 1"):
            asyncio.run(invite("python:tests.functions:die", {}, context))

    def test_the_steps_time_ends_it(self, context: ToolContext) -> None:
        started = time.monotonic()
        with pytest.raises(StepTimeout):
            asyncio.run(invite("python:tests.functions:spin", {}, replace(context, timeout_seconds=1.0)))
        assert time.monotonic() - started < LONG
        assert not alive(context.folder)


def test_the_warden_imports_nothing_that_takes_long() -> None:
    folder = Path(warden.__file__).parent
    code = f"import sys; sys.path.append({str(folder)!r}); import warden; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert not {"json", "re", "enum", "ctypes", "contextlib", "signal", "typing"} & set(loaded.stdout.split())
