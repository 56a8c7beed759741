"""vars, and what it lists, sets, exports and takes over, with no worker on the Redis."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from orchestrator_client.contract import names
from tests.conftest import RedisServer
from tests.unit.test_cli_runs import Fleet

PLAN = """\
id: letters
inputs:
  who: {type: string, default: world}
  tone: {type: string, default: plain}
  api_key: {type: string, default: hush}
config: {greeting: "Dear {{ who }}"}
steps:
  - {id: draft, tool: terminal, parameters: {command: ["echo", "{{ config.greeting }}, {{ inputs.tone }}"]}}
  - id: each
    for_each: [1, 2]
    steps:
      - {id: sign, tool: terminal, parameters: {command: ["echo", "{{ draft.stdout }} {{ item }} {{ tone }}"]}}
outputs: {last: "{{ each.results }} {{ tone }}"}
"""


@pytest.fixture
def fleet(redis_server: RedisServer, tmp_path: Path) -> Fleet:
    fleet = Fleet(redis_server.url, tmp_path)
    fleet.plan.write_text(PLAN)
    return fleet


def by_name(listed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in listed}


def test_all_are_listed_with_who_reads_them(fleet: Fleet) -> None:
    run = fleet.submit("-i", "who=Ada")
    code, out, _ = fleet.run("vars", run)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[:5]] == [
        ["NAME", "TYPE"],
        ["api_key", "input"],
        ["tone", "input"],
        ["who", "input"],
        ["config", "configuration"],
    ]
    listed = by_name(_listed(fleet, run))
    assert listed["tone"]["readers"] == ["draft", "each.sign", "outputs.last"]
    assert listed["who"]["readers"] == ["draft"]
    assert listed["config"]["value"] == {"greeting": "Dear Ada"}
    assert listed["execution_id"]["value"] == run


def _listed(fleet: Fleet, run: str, *options: str) -> list[dict[str, Any]]:
    code, out, err = fleet.run("vars", run, *options, "-o", "json")
    assert code == 0, err
    return json.loads(out)


def test_a_list_can_be_narrowed(fleet: Fleet) -> None:
    run = fleet.submit()
    fleet.run("vars", run, "set", "note", "1", "--within", "each[1]")
    assert {one["type"] for one in _listed(fleet, run, "--type", "system")} == {"system"}
    assert [one["name"] for one in _listed(fleet, run, "--scope", "item")] == ["note"]
    assert len(_listed(fleet, run, "--limit", "2")) == 2
    assert fleet.run("vars", "--scope", "temporary", run) == (0, "", "no such variables\n")


def test_one_is_shown_by_its_name(fleet: Fleet) -> None:
    run = fleet.submit()
    assert fleet.run("vars", run, "tone") == (0, "plain\n", "")
    assert json.loads(fleet.run("vars", run, "config")[1]) == {"greeting": "Dear world"}
    assert json.loads(fleet.run("vars", run, "get", "tone", "-o", "json")[1])["type"] == "input"
    code, _, err = fleet.run("vars", run, "tonne")
    assert code == 2
    assert "has no variable 'tonne'; did you mean 'tone'?" in err


def test_a_secret_is_never_shown(fleet: Fleet, tmp_path: Path) -> None:
    run = fleet.submit("-i", "who=sk-ant-abcdefghijklmnop123456")
    shown = [fleet.run("vars", run, *rest)[1] for rest in ([], ["who"], ["api_key"], ["export"], ["history", "who"])]
    assert all("hush" not in text and "abcdefgh" not in text for text in shown)
    assert shown[1] == "sk-a…\n"
    (tmp_path / "all.json").write_text(shown[3])
    assert fleet.run("vars", fleet.submit(), "import", tmp_path / "all.json")[1] == "nothing in it is new to the run\n"


def test_one_is_set_and_its_history_is_kept(fleet: Fleet) -> None:
    run = fleet.submit()
    code, out, _ = fleet.run("vars", run, "set", "tone", "formal", "--why", "a bank", "--by", "ada")
    assert (code, out) == (0, "tone: version 1; steps that start from now on read it\n")
    assert fleet.run("vars", run, "set", "limit", "[1, 2]")[0] == 0
    assert json.loads(fleet.run("vars", run, "limit")[1]) == [1, 2]
    rows = [line.split("  ") for line in fleet.run("vars", run, "history", "tone")[1].splitlines()]
    assert [cell.strip() for cell in rows[2] if cell][2:] == ["ada", "a bank", "formal"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["set", "draft", "x"], "is a step"),
        (["set", "tone", "x", "--for", "-1"], "is to hold for -1 seconds"),
        (["history", "nothing"], "has no variable"),
    ],
)
def test_a_refusal_is_one_clear_line(fleet: Fleet, arguments: list[str], words: str) -> None:
    code, out, err = fleet.run("vars", fleet.submit(), *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_a_run_that_is_not_there(fleet: Fleet) -> None:
    assert fleet.run("vars", "nope")[0] == 2
    assert fleet.run("vars", "nope", "set", "a", "1")[0] == 2


def test_what_was_exported_is_taken_over_by_another_run(fleet: Fleet, tmp_path: Path) -> None:
    first, second = fleet.submit("-i", "who=Ada"), fleet.submit()
    for name, value in (("tone", "formal"), ("extra", '{"a": 1}')):
        fleet.run("vars", first, "set", name, value)
    fleet.run("vars", first, "set", "note", "7", "--within", "each[1]")
    with redis.Redis.from_url(fleet.url) as client:
        left = json.dumps({"result": "x", "success": True})
        client.hset(names.RunKeys(first).values, mapping={"draft": left, "draft#1.1": left})
        client.expire(names.RunKeys(first).values, 60)
    file = tmp_path / "variables.json"
    file.write_text(fleet.run("vars", first, "export")[1])
    code, out, _ = fleet.run("vars", second, "import", file)
    assert (code, out) == (0, "set: who, tone, extra, each[1].note\n")
    assert fleet.run("vars", second, "each[1].note")[1] == "7\n"
    [_, told] = json.loads(fleet.run("vars", second, "history", "tone", "-o", "json")[1])
    assert told["why"] == f"imported from run {first}"
    assert fleet.run("vars", second, "import", file)[1] == "nothing in it is new to the run\n"


def test_a_plain_object_is_taken_too_and_anything_else_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    run, file = fleet.submit(), tmp_path / "given.json"
    file.write_text('{"tone": "warm", "draft": 1}')
    code, _, err = fleet.run("vars", run, "import", file)
    assert code == 2
    assert "'draft' is a step" in err
    assert fleet.run("vars", run, "tone")[1] == "plain\n"
    for text in ("[1]", "{"):
        file.write_text(text)
        assert fleet.run("vars", run, "import", file)[0] == 2


def test_changes_are_watched_until_the_run_closes(fleet: Fleet) -> None:
    run = fleet.submit()
    fleet.run("vars", run, "set", "tone", "formal", "--why", "a \x1b[31mbank", "--by", "ada", "--for", "60")
    fleet.close(run, "succeeded")
    code, out, _ = fleet.run("vars", run, "watch")
    assert code == 0
    assert out.split(" ", 1)[1] == "variable_set tone v1 for 1 min 00 s by ada: a \\x1b[31mbank\n"
    [event] = [json.loads(line) for line in fleet.run("vars", run, "watch", "-o", "json")[1].splitlines()]
    assert event["data"]["seconds"] == 60
    assert fleet.run("vars", run, "set", "tone", "late")[0] == 2
