"""Faults of Redis and of the network before it: away, full, busy, demoted, silent, cut."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from orchestrator_client.contract import names
from orchestrator_client.contract.errors import OrchestratorError
from tests.chaos.scene import DISK, Scene
from tests.chaos.workloads import chain
from tests.conftest import wait_until


def restart(scene: Scene) -> str:
    """F24."""
    scene.wait_for_random_point()
    scene.server.wait_until_written()
    scene.server.kill()
    scene.wait_until_told(scene.runs[0], "Redis")
    time.sleep(3.0)
    scene.set_back_at = time.monotonic()
    scene.server.start()
    scene.healed()
    return "kill -9 of Redis, back 3 s later"


def power_loss(scene: Scene) -> str:
    """F25, level `fast`: what was written in the last second is gone, as if it had never reached the disk."""
    scene.wait_for_random_point()
    sizes, done = list[tuple[float, int]](), threading.Event()
    file = _append_only_file(scene)

    def watch() -> None:
        while not done.wait(0.02):
            sizes.append((time.monotonic(), file.stat().st_size))

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(1.5)
    scene.server.kill()
    done.set()
    watcher.join()
    kept = max(size for at, size in sizes if at <= sizes[-1][0] - 1.0)
    lost = file.stat().st_size - kept
    os.truncate(file, kept)
    scene.set_back_at = time.monotonic()
    scene.server.start()
    assert lost > 0, "nothing was written in the last second"
    return f"the last second of the append-only file, {lost:,} bytes, was lost"


def truncated_file(scene: Scene) -> str:
    """F41: the tail of the append-only file is cut in the middle of a command."""
    scene.wait_for_random_point()
    scene.server.wait_until_written()
    scene.server.kill()
    file = _append_only_file(scene)
    os.truncate(file, file.stat().st_size - 17)
    scene.set_back_at = time.monotonic()
    scene.server.start()
    return "17 bytes of the append-only file were cut"


def loading(scene: Scene) -> str:
    """F31: a restart whose file takes seconds to be read."""
    scene.wait_for_random_point()
    scene.server.wait_until_written()
    scene.server.kill()
    scene.server.options = ("--key-load-delay", "8000")
    began = scene.set_back_at = time.monotonic()
    scene.server.start()
    scene.healed()
    took = time.monotonic() - began
    assert took > 1.0, f"it was loaded within {took:.1f} s"
    return f"Redis was LOADING for {took:.1f} s"


def disk_full(scene: Scene) -> str:
    """F40: writes are refused (MISCONF) for as long as there is no space."""
    scene.wait_for_random_point()
    assert scene.server.process is not None
    fill = Path(f"/proc/{scene.server.process.pid}/root{scene.folder}/{DISK}/fill")
    with fill.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    wait_until(lambda: _raises(lambda: scene.redis.set("x", 1, ex=60), "MISCONF"), "writes are refused")
    time.sleep(4.0)
    fill.unlink()
    wait_until(lambda: not _raises(lambda: scene.redis.set("x", 1, ex=60), "MISCONF"), "writes are taken again")
    scene.healed()
    return "writes were refused with MISCONF for 4 s"


def out_of_memory(scene: Scene) -> str:
    """F27: submissions are refused in words meanwhile."""
    scene.wait_for_random_point()
    with _config(scene, "maxmemory", "1000"):
        try:
            scene.client.submit(chain(1))
            raise AssertionError("a submission went into a store that is full")
        except OrchestratorError as refused:
            said = str(refused)
        assert "memory" in said or "full" in said, said
        time.sleep(4.0)
    scene.healed()
    return f"a submission was refused: {said[:80]}"


def busy(scene: Scene) -> str:
    """F29: a script of six seconds."""
    scene.wait_for_random_point()
    with _config(scene, "busy-reply-threshold", "200"):
        client = redis.Redis.from_url(scene.server.url, socket_timeout=30)
        blocked = threading.Thread(target=_spin, args=(client,))
        blocked.start()
        wait_until(lambda: _raises(lambda: scene.redis.get("x"), "BUSY"), "Redis says BUSY")
        time.sleep(6.0)
        wait_until(lambda: _killed(scene), "the script is ended")
        blocked.join()
        scene.healed()
        client.close()
    return "Redis was BUSY for 6 s"


def stall(scene: Scene) -> str:
    """F30: Redis is frozen, for 12 s here."""
    scene.wait_for_random_point()
    assert scene.server.process is not None
    scene.server.process.send_signal(signal.SIGSTOP)
    time.sleep(12.0)
    scene.server.process.send_signal(signal.SIGCONT)
    scene.healed()
    return "Redis was frozen for 12 s"


def demotion(scene: Scene) -> str:
    """F32."""
    scene.wait_for_random_point()
    scene.redis.execute_command("REPLICAOF", "127.0.0.1", "1")
    wait_until(lambda: _raises(lambda: scene.redis.set("x", 1), "READONLY"), "writes are refused")
    time.sleep(float(os.environ.get("CHAOS_DEMOTION_SECONDS", "10")))
    scene.redis.execute_command("REPLICAOF", "NO", "ONE")
    scene.healed()
    scene.redis.delete("x")
    return "writes were refused with READONLY"


def black_hole(scene: Scene) -> str:
    """F34: for 20 s nothing gets through, and nobody is told."""
    assert scene.proxy is not None
    scene.wait_for_random_point()
    scene.proxy.black_hole()
    time.sleep(20.0)
    scene.proxy.heal(forget=True)
    scene.healed()
    return "nothing got through for 20 s, and the connections of before stay silent"


def reset_storm(scene: Scene) -> str:
    """F35."""
    assert scene.proxy is not None
    scene.wait_for_random_point()
    cut = 0
    for _ in range(20):
        cut += scene.proxy.connections
        scene.proxy.reset()
        time.sleep(0.15)
    assert cut > 20, f"only {cut} connections were cut"
    return f"{cut} connections were cut by RST in 3 s"


def slow_network(scene: Scene) -> str:
    """F36: 100 ms each way, 64 kbit/s."""
    assert scene.proxy is not None
    scene.wait_for_random_point(6)
    scene.proxy.latency_seconds, scene.proxy.bytes_per_second = 0.1, 8_000
    time.sleep(8.0)
    scene.proxy.heal()
    return "200 ms round trips at 64 kbit/s for 8 s"


def queues_deleted(scene: Scene) -> str:
    """F37, the queues' part: all messages are gone."""
    scene.wait_for_random_point()
    lost = scene.wait_in_the_middle(lambda: _drop(scene), "messages wait in the queues")
    return f"{lost} messages were deleted with their queue"


def corrupt_records(scene: Scene) -> str:
    """F38: one run's records are garbage; the others' repairs go on."""
    scene.wait_for_random_point()
    broken = scene.client.submit(chain(2, 30.0))
    keys = names.RunKeys(broken.id)
    wait_until(lambda: broken.status().started_ms, "the run to be broken has started")
    scene.redis.hset(keys.instances, "c1", "not an instance at all")
    scene.redis.zadd(names.TIMETABLE, {f"{broken.id}|c1": 1})
    scene.redis.delete(keys.receipts)
    scene.redis.set(keys.receipts, "of the wrong type", ex=600)
    # What only a sweep repairs, for as long as the garbage is due.
    dropped = scene.submit(chain(3))
    wait_until(lambda: _drop(scene, names.CONTROL_QUEUE) or dropped.status().started_ms, "its start message is lost")
    scene.wait_for_ends()
    broken.cancel()
    return "an instance and the receipts of one run were garbage"


def too_many_clients(scene: Scene) -> str:
    """F39: no connection is left for anybody new."""
    scene.wait_for_random_point()
    idle = [redis.Redis.from_url(scene.server.url) for _ in range(20)]
    for client in idle:
        client.ping()
    now = int(scene.redis.info("clients")["connected_clients"])
    with _config(scene, "maxclients", str(now)):
        scene.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        for client in idle:
            wait_until(lambda client=client: client.ping(), "an idle client is back first")  # type: ignore[misc]
        time.sleep(4.0)
    for client in idle:
        client.close()
    return f"all {now} places were taken for 4 s"


def password_changed(scene: Scene) -> str:
    """F42: the workers' user is refused for 4 s."""
    scene.wait_for_random_point()
    scene.redis.execute_command("ACL", "SETUSER", "other", "on", ">word", "~*", "&*", "+@all")
    scene.redis.execute_command("ACL", "SETUSER", "default", "resetpass", ">changed")
    scene.redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    time.sleep(4.0)
    scene.redis.execute_command("ACL", "SETUSER", "default", "nopass")
    return "the password was another one for 4 s"


# --- how ---------------------------------------------------------------------------------------------------------


@contextmanager
def _config(scene: Scene, name: str, value: str) -> Iterator[None]:
    before = scene.redis.config_get(name)[name]
    scene.redis.config_set(name, value)
    try:
        yield
    finally:
        scene.redis.config_set(name, before)


def _append_only_file(scene: Scene) -> Path:
    return max(scene.folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)


def _spin(client: redis.Redis) -> None:
    try:
        client.eval("while true do end", 0)
    except redis.RedisError:
        return


def _killed(scene: Scene) -> bool:
    try:
        scene.redis.execute_command("SCRIPT", "KILL")
    except redis.RedisError as error:
        return "NOTBUSY" in str(error)
    return True


def _raises(call: Callable[[], object], word: str) -> bool:
    try:
        call()
    except redis.RedisError as error:
        return word in str(error) or word in type(error).__name__.upper()
    return False


def _drop(scene: Scene, *queues: str) -> int:
    """How many messages were in the queues, which are gone now."""
    wanted = queues or (names.TOOL_QUEUE, names.CONTROL_QUEUE)
    lost = sum(int(scene.redis.llen(queue)) for queue in wanted)
    if lost:
        scene.redis.delete(*wanted)
    return lost
