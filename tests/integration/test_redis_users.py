"""Redis users and TLS, really on: whole runs by workers and clients with their roles' users, and what they may not.

Redis notes every refusal in its ACL log: that it is empty after a run says that a role has all it needs.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError, NoScriptError

from orchestrator_client import Client, StoreUnavailable, loads
from orchestrator_client.redis_scripts import Loader
from tests.command_line import COMMAND, FAST
from tests.conformance.model_server import ModelServer
from tests.conftest import assert_keys_have_ttl, wait_until
from tests.fleet import WorkerProcess, start_worker
from tests.secured_redis import SecuredRedis, server_with_tls

SERVER = server_with_tls()
pytestmark = [
    pytest.mark.skipif(SERVER is None, reason="no redis-server >= 7 with TLS on PATH, or no openssl"),
    pytest.mark.xdist_group("secured-redis"),
]

PLAN = """\
id: everything
inputs: {topic: {type: string, default: rivers}}
steps:
  - {id: first, tool: python, action: call, parameters: {function: "builtins:str", args: ["{{ topic }}"]}}
  - id: each
    for_each: [1, 2, 3]
    max_parallel: 2
    dependencies: [first]
    steps: [{id: say, tool: python, action: call, parameters: {function: "builtins:str", args: ["{{ item }}"]}}]
  - id: again
    action_loop: [{name: pass, tool: python, action: call, parameters: {function: "builtins:str", args: [x]}}]
    until: "{{ iteration >= 2 }}"
    max_iterations: 3
    dependencies: [first]
  - {id: draft, action: generate_text, dependencies: [each],
     parameters: {prompt: "about {{ first.result }} {{ colour | default('grey') }}", model: gpt-4o-mini}}
  - {id: go, tool: approval-gate, parameters: {title: "release?"}, dependencies: [draft, again]}
  - {id: last, tool: python, action: call, dependencies: [go],
     parameters: {function: "builtins:str", args: ["{{ draft.result }} {{ colour | default('grey') }}"]}}
outputs: {last: "{{ last.result }}"}
"""

SLOW = """\
id: slow
steps: [{id: sleep, tool: terminal, parameters: {command: "sleep 300"}}]
"""


PATIENT = {**FAST, "lease_seconds": 30}
"""Nothing is repaired here: neither worker is to take the other for dead when the machine is slow."""


class SecuredFleet:
    """A secured Redis and workers on it, each with the user of its role."""

    def __init__(self, folder: Path) -> None:
        assert SERVER is not None
        self.folder, self.server, self.models = folder, SecuredRedis(SERVER, folder, "", "acme"), ModelServer()
        self._workers: list[WorkerProcess] = []
        loader = Loader(self.server.url("orc-loader"))
        assert loader.load() > 20
        assert loader.load() == 0
        loader.close()
        self.models.__enter__()
        self.worker("tool", "-c", "2")
        keys = {"OPENAI_BASE_URL": self.models.url, "OPENAI_API_KEY": "sk-test"}
        self.worker("model-openai", "--queues", "model.openai", "-c", "2", **keys)

    def worker(self, role: str, *options: str, **environment: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            url = self.server.url(f"orc-{role}")
            self._workers.append(start_worker(url, self.folder, role, *options, events=1, **PATIENT))

    def client(self, role: str = "client") -> Client:
        return Client(self.server.url(f"orc-{role}"), actor="ada")

    def stop_workers(self) -> None:
        """End them in order, as an operator does."""
        for worker in self._workers:
            worker.stop(60)

    def close(self) -> None:
        for worker in self._workers:
            if worker.process.poll() is None:
                worker.kill()
        self.models.__exit__(None, None, None)
        self.server.kill()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredFleet]:
    fleet = SecuredFleet(tmp_path_factory.mktemp("secured"))
    try:
        yield fleet
    finally:
        fleet.close()


def test_a_fleet_of_roles_does_all_that_runs_need_and_is_refused_nothing(fleet: SecuredFleet) -> None:
    with fleet.client() as client, fleet.client("operator") as operator:
        slow = client.submit(loads(SLOW).plan)
        run = client.submit(loads(PLAN).plan, budget_usd="1", allow_tools=["*"], tags=["t"], stream_text=True)
        run.variables.set("colour", "red")
        run.pause()
        run.resume()
        wait_until(lambda: [asked.instance for asked in run.questions()] == ["go"], "the run asks", 90)
        assert [why.instance for why in run.why("go")] == ["go"]
        operator.set_budget(run.id, "2")
        operator.set_limits("openai/gpt-4o-mini", requests=600)
        operator.learn_limits("openai/gpt-4o-mini")
        assert operator.limits()
        run.approve("go", by="ada")
        document = run.result(timeout=60)
        assert document.outputs == {"last": "about rivers red red"}
        wait_until(lambda: slow.status().state == "running", "the slow one runs", 60)
        slow.cancel()
        assert slow.wait(timeout=60).state == "cancelled"
        assert client.cost(run.id).total.calls == 1
        assert list(run.stream())
        assert {entry.act for entry in client.audit()} == {
            "submit",
            "set",
            "budget",
            "limits",
            "answer",
            "cancel",
            "pause",
            "resume",
        }
        assert len(client.runs()) == 2
    assert "\n".join(fleet.server.refusals()) == ""
    assert_keys_have_ttl(redis.Redis.from_url(fleet.server.url("test-admin")))


def test_the_command_line_and_celerys_monitors_too(fleet: SecuredFleet) -> None:
    """Flower asks workers by Celery's remote control, and hears their events."""
    from orchestrator_worker.app import create_app
    from orchestrator_worker.settings import Settings
    from tests.fleet import close_app

    shown = subprocess.run(
        [COMMAND, "runs"],
        env={**os.environ, "ORCHESTRATOR_REDIS_URL": fleet.server.url("orc-client")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    app = create_app(Settings(redis_url=fleet.server.url("orc-flower")))
    # A broadcast reaches those who listen already: a worker that is still starting does not answer it.
    wait_until(lambda: len(app.control.ping(timeout=5, limit=2)) == 2, "both workers answer", 90)
    heard: list[Any] = []
    with app.connection_for_read() as connection:
        # Without a limit: Celery counts readings of the socket, and the first may hold no event.
        for _ in app.events.Receiver(connection, handlers={"*": heard.append}).itercapture(timeout=90):
            if heard:
                break
    close_app(app)
    assert "\n".join(fleet.server.refusals()) == ""


RUN = "orc:{r}"

REFUSED: dict[str, list[tuple[str, ...]]] = {
    role: [
        ("CONFIG", "GET", "*"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("RANDOMKEY",),
        ("DBSIZE",),
        ("EVAL", "return 1", "0"),
        ("SCRIPT", "LOAD", "return 1"),
        ("SCRIPT", "FLUSH"),
        ("FUNCTION", "LOAD", "#!lua name=x\nredis.register_function('x', function() end)"),
        ("ACL", "LIST"),
        ("CLIENT", "LIST"),
        ("MONITOR",),
        ("SAVE",),
        ("SHUTDOWN",),
        ("SLAVEOF", "NO", "ONE"),
        ("MODULE", "LIST"),
        ("GET", "another"),
        ("SET", "another", "1"),
        ("HGETALL", "ns:acme:orc:{r}"),
        ("HSET", "ns:acme:orc:{r}", "wish", "cancel"),
        ("ZRANGE", "ns:acme:orc:runs", "0", "-1"),
        ("RPOP", "ns:acme:tool"),
        ("LPUSH", "ns:acme:tool", "x"),
        ("PUBLISH", "ns:acme:/0.celery.pidbox", "x"),
        ("SUBSCRIBE", "__keyspace@0__:*"),
    ]
    for role in ("client", "tool", "model-openai", "flower", "operator")
}
REFUSED["client"] += [
    ("HSET", f"{RUN}:values", "a", "1"),
    ("HSET", f"{RUN}:receipts", "a", "1"),
    ("DEL", "orc:audit"),
    ("XTRIM", "orc:audit", "MAXLEN", "0"),
    ("HSET", "orc:budget:run:r", "cap", "1"),
    ("HSET", "orc:gate:x", "set", "{}"),
    ("BRPOP", "tool", "1"),
    ("RPOP", "model.openai"),
    ("LRANGE", "celery-task-meta-x", "0", "1"),
    ("PUBLISH", "/0.celery.pidbox", "x"),
    ("INFO",),
]
REFUSED["tool"] += [
    ("BRPOP", "model.openai", "1"),
    ("RPOP", "model.openai"),
    ("LRANGE", "model.openai", "0", "1"),
    ("DEL", "model.openai"),
    ("PUBLISH", "/0.celery.pidbox", "x"),
]
REFUSED["model-openai"] += [
    ("BRPOP", "tool", "1"),
    ("BRPOP", "model.anthropic", "1"),
    ("LRANGE", "control", "0", "1"),
    ("PUBLISH", "/0.celery.pidbox", "x"),
]
REFUSED["flower"] += [("HSET", f"{RUN}:values", "a", "1"), ("BRPOP", "tool", "1"), ("HSET", "orc:budget:x", "cap", "1")]
REFUSED["loader"] = [("GET", "orc:runs"), ("EVALSHA", "0" * 40, "0"), ("EVAL", "return 1", "0"), ("INFO",)]


@pytest.mark.parametrize("role", REFUSED)
def test_what_a_role_may_not(fleet: SecuredFleet, role: str) -> None:
    connection = fleet.server.as_user(f"orc-{role}")
    assert [command for command in REFUSED[role] if not is_refused(connection, command)] == []
    connection.close()
    fleet.server.forget()


def is_refused(connection: Any, command: tuple[str, ...]) -> bool:
    """Whether Redis does not let this user do that."""
    try:
        connection.execute_command(*command)
    except redis.RedisError as error:
        return isinstance(error, NoPermissionError)
    return False


@pytest.mark.parametrize("role", ["client", "tool", "model-openai", "flower", "operator"])
def test_a_script_of_ones_own_is_not_run(fleet: SecuredFleet, role: str) -> None:
    """By its hash alone nobody can run what nobody has loaded."""
    connection = fleet.server.as_user(f"orc-{role}")
    with pytest.raises(NoScriptError):
        connection.evalsha("0" * 40, 0)
    connection.close()


def test_a_script_does_no_more_than_who_runs_it(fleet: SecuredFleet) -> None:
    with fleet.client() as client, pytest.raises(StoreUnavailable, match="does not let this user do that"):
        client.set_budget("tag:x", "5", "day")
    fleet.server.forget()


def test_nobody_gets_in_without_a_user_or_without_tls(fleet: SecuredFleet) -> None:
    nobody = fleet.server.url("orc-client").replace(fleet.server.url("orc-client").split("@")[0], "rediss://x:y")
    for url in (nobody, f"redis://127.0.0.1:{fleet.server.port}/0", f"rediss://127.0.0.1:{fleet.server.port}/0"):
        with pytest.raises(StoreUnavailable, match="cannot use Redis"), Client(url) as client:
            client.runs()
    fleet.server.forget()


def test_another_namespace_is_walled_off(fleet: SecuredFleet) -> None:
    """A client of `acme` that says it were of the fleet without a namespace is refused by Redis itself."""
    connection = fleet.server.as_user("acme-client")
    for command in (("HGETALL", RUN), ("ZRANGE", "orc:runs", "0", "-1"), ("HSET", RUN, "wish", "cancel")):
        with pytest.raises(NoPermissionError):
            connection.execute_command(*command)
    connection.close()
    with Client(fleet.server.url("acme-client")) as client, pytest.raises(StoreUnavailable):
        client.runs()
    fleet.server.forget()


def test_scripts_that_redis_forgot_are_loaded_by_whoever_may(fleet: SecuredFleet) -> None:
    fleet.server.admin.script_flush()
    with fleet.client() as client:
        with pytest.raises(StoreUnavailable, match="orchestrator redis-scripts"):
            client.submit(loads(SLOW).plan)
        command = [COMMAND, "redis-scripts", "--keep"]
        keeping = subprocess.Popen(
            command,
            env={**os.environ, "ORCHESTRATOR_REDIS_URL": fleet.server.url("orc-loader")},
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert keeping.stderr is not None
            assert keeping.stderr.readline().startswith("loaded ")
            run = client.submit(loads(PLAN.replace("id: everything", "id: later")).plan)
            wait_until(lambda: [asked.instance for asked in run.questions()] == ["go"], "the fleet goes on", 90)
        finally:
            keeping.terminate()
            keeping.wait()
            keeping.stderr.close()  # type: ignore[union-attr]
    fleet.server.forget()


def test_a_worker_ends_in_order(fleet: SecuredFleet) -> None:
    fleet.stop_workers()
    assert "\n".join(fleet.server.refusals()) == ""
