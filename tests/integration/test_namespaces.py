"""Namespaces: two fleets on one Redis, of which neither sees, stops or answers anything of the other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from orchestrator_client import Client
from orchestrator_client.contract import names
from orchestrator_client.contract.errors import ConfigInvalid
from tests.command_line import ROOT, Shell
from tests.conftest import assert_keys_have_ttl, wait_until

PLAN = """\
    id: asks
    steps:
      - {id: first, tool: python, action: call, parameters: {function: builtins:str, args: ["{{ word }}"]}}
      - {id: each, for_each: [1, 2], steps: [{id: say, tool: python, action: call,
           parameters: {function: builtins:str, args: ["{{ item }}"]}}], dependencies: [first]}
      - {id: go, tool: approval-gate, parameters: {title: "release?"}, dependencies: [each]}
    inputs: {word: {type: string, default: hello}}
    outputs: {word: "{{ first.result }}"}
"""


COMMANDS = """
import json, sys
from click.testing import CliRunner
from orchestrator_client.cli import main
ended = [CliRunner().invoke(main, command) for command in json.load(sys.stdin)]
print(json.dumps([(each.exit_code, each.output) for each in ended]))
"""

ABOUT_A_RUN = (
    ("show", "RUN"),
    ("result", "RUN"),
    ("watch", "RUN"),
    ("cancel", "RUN"),
    ("why", "RUN"),
    ("cost", "RUN"),
    ("vars", "RUN"),
    ("vars", "RUN", "set", "colour", "red"),
    ("answer", "RUN", "go", "approve"),
    ("approve", "RUN", "go"),
    ("budget", "RUN", "5"),
)


class Tenants:
    """A Redis with a fleet for `acme` and one for `bolt`; each has a run that asks."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.url = shell.environment["ORCHESTRATOR_REDIS_URL"] = shell.redis()
        self.plan = shell.write(PLAN)
        self.runs = {}
        for tenant in ("acme", "bolt"):
            shell.worker(f"w-{tenant}", "-c", "1", environment={"ORCHESTRATOR_NAMESPACE": tenant})
            [(code, said)] = self.of(tenant, ("submit", self.plan, "-i", f"word=of-{tenant}"))
            assert code == 0, said
            self.runs[tenant] = re.findall(r"asks_\w+", said)[0]  # beside it, perhaps, that no worker is there yet
        for tenant, run in self.runs.items():
            wait_until(lambda t=tenant, r=run: r in self.of(t, ("questions", r))[0][1], f"{tenant} asks", 60)

    def of(self, tenant: str, *commands: Sequence[object]) -> list[tuple[int, str]]:
        """Exit code and output of each of these commands of one tenant's, all in one process."""
        ended = subprocess.run(
            [sys.executable, "-c", COMMANDS],
            env={**self.shell.environment, "ORCHESTRATOR_NAMESPACE": tenant},
            input=json.dumps([[str(word) for word in command] for command in commands]),
            cwd=self.shell.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        return [(code, said) for code, said in json.loads(ended.stdout)]


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    shell = Shell(tmp_path_factory.mktemp("tenants"))
    try:
        yield Tenants(shell)
    finally:
        shell.close()


@pytest.mark.parametrize("mine", ["bolt", ""])
def test_a_run_of_another_namespace_is_not_there(tenants: Tenants, mine: str) -> None:
    commands = [[tenants.runs["acme"] if word == "RUN" else word for word in command] for command in ABOUT_A_RUN]
    place = "namespace 'bolt' of this store" if mine else "this store"
    for command, (code, said) in zip(commands, tenants.of(mine, *commands), strict=True):
        assert (code, "no run" in said, f"in {place}" in said) == (2, True, True), (command, said)


def test_lists_are_of_one_namespace(tenants: Tenants) -> None:
    for tenant, run in tenants.runs.items():
        others = set(tenants.runs.values()) - {run}
        for _, said in tenants.of(tenant, ("runs",), ("questions",), ("audit",)):
            assert run in said
            assert not any(other in said for other in others)


def test_all_of_a_namespace_lies_behind_its_prefix_and_ends_there(tenants: Tenants) -> None:
    client = redis.Redis.from_url(tenants.url)
    for tenant, run in tenants.runs.items():
        prefix = f"ns:{tenant}:"
        found = [key.decode() for key in client.scan_iter(f"*{run}*", count=1000)]
        assert found
        assert all(key.startswith((f"{prefix}orc:", f"{prefix}celery")) for key in found)
    assert_keys_have_ttl(client)
    client.close()


def test_each_comes_to_its_end_and_one_key_stands_for_a_run_of_each(tenants: Tenants) -> None:
    for tenant, run in tenants.runs.items():
        approved, (_, result), again = tenants.of(
            tenant,
            ("approve", run, "go"),
            ("result", run, "-o", "json"),
            ("submit", tenants.plan, "--idempotency-key", "monday", "-i", f"word={tenant}"),
        )
        assert (approved[0], again[0]) == (0, 0), again
        assert json.loads(result)["outputs"] == {"word": f"of-{tenant}"}


def test_without_one_names_are_as_they_were() -> None:
    assert (names.RUNS, names.RunKeys("r").events, names.stored_queue("tool")) == ("orc:runs", "orc:{r}:events", "tool")
    assert names.TRANSPORT_OPTIONS == {}


@pytest.mark.parametrize("name", ["Acme", "a:b", "a*", "{a}", "-a", "a-", "a" * 41, "ä", "a b"])
def test_what_is_no_name_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(names, "NAMESPACE", name)
    with pytest.raises(ConfigInvalid, match="is no namespace"):
        Client("redis://127.0.0.1:1/0")


def test_a_worker_refuses_it_too(shell: Shell) -> None:
    environment = {**shell.environment, "ORCHESTRATOR_NAMESPACE": "a b"}
    command = [sys.executable, "-m", "orchestrator_worker"]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, "is no namespace" in ended.stderr) == (2, True)


def test_the_same_run_of_two_has_two_folders(tmp_path: Path) -> None:
    code = "from orchestrator_worker.settings import settings; print(settings().folder('run_1'))"
    folders = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"ORCHESTRATOR_NAMESPACE": name, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for name in ("acme", "bolt", "")
    }
    root = tmp_path / "orchestrator-runs"
    assert folders == {str(root / "acme/run_1"), str(root / "bolt/run_1"), str(root / "run_1")}


def test_python_writes_no_key_without_it() -> None:
    patterns = ROOT / "orchestrator_client/redis_users.py"  # it puts the namespace before all of its patterns at once
    for module in set(ROOT.glob("orchestrator_*/**/*.py")) - {patterns}:
        assert not re.search(r"""f?["']orc:""", module.read_text().replace('"\'orc:"', "")), module


def test_scripts_name_keys_in_one_way() -> None:
    """What `scripts.source` looks for to put the namespace before it."""
    for script in (*ROOT.glob("orchestrator_*/**/*.lua"),):
        code = "\n".join(line for line in script.read_text().splitlines() if not line.strip().startswith("--"))
        assert code.count("orc:") == code.count("'orc:"), script
