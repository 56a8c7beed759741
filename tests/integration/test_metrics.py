"""Metrics: what is told is documented, what is documented is told, and the figures are right."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from orchestrator_client import metrics as fleet_metrics
from orchestrator_client.contract.plan import OnFailure, Plan
from orchestrator_client.store import Stores
from tests.conftest import wait_until
from tests.fleet import python_step
from tests.flower_server import FlowerServer
from tests.integration.loops import each, text
from tests.standing_fleet import StandingFleet

pytestmark = pytest.mark.xdist_group("metrics")

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/metrics.md").read_text()
PLAN = Plan(
    id="measured",
    steps=(
        python_step("one", "time:sleep", 0.05),
        each("many", [1, 2, 3], text("inner", "{{ item }}"), after=("one",)),
        python_step("bad", "builtins:int", "x", after=("many",), on_failure=OnFailure.CONTINUE),
    ),
)


def documented(heading: str) -> dict[str, tuple[str, set[str]]]:
    """Name -> type and labels, from one section of the page."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\|", section, re.MULTILINE)
    return {name: (kind, {label.strip() for label in labels.split(",")} - {""}) for name, kind, labels in rows}


FLEET, WORKER = documented("The fleet"), documented("A worker")


def full(family: Metric) -> str:
    """A family's name as Prometheus stores it."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def scraped(port: int) -> dict[str, Metric]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        found = text_string_to_metric_families(response.read().decode())
        return {full(family): family for family in found if family.name.startswith("orchestrator_")}


def value(families: dict[str, Metric], name: str, suffix: str = "", **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    wanted = labels.items()
    samples = families[name].samples
    return sum(s.value for s in samples if s.name == name + suffix and wanted <= s.labels.items())


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingFleet]:
    with StandingFleet(tmp_path_factory.mktemp("metrics")) as standing:
        standing.start_worker("measured", "-c", "2", metrics_port=0)
        wait_until(lambda: standing.redis.exists("orc:workers"), "the worker reports")
        assert not standing.client.submit(PLAN).result(timeout=60).success
        yield standing


@pytest.fixture(scope="module")
def fleet_families(fleet: StandingFleet) -> dict[str, Metric]:
    registry = CollectorRegistry()
    fleet.client.export_metrics(registry)
    found = text_string_to_metric_families(generate_latest(registry).decode())
    return {full(family): family for family in found}


def labels_of(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def test_the_fleet_tells_what_is_documented_and_nothing_else(fleet_families: dict[str, Metric]) -> None:
    assert fleet_families.keys() == FLEET.keys()
    for name, family in fleet_families.items():
        kind, labels = FLEET[name]
        assert (family.type, labels_of(family) or labels) == (kind, labels), name


def test_the_fleets_figures(fleet_families: dict[str, Metric]) -> None:
    reached = fleet_families["orchestrator_runs_reached_total"]
    assert {s.labels["state"]: s.value for s in reached.samples} == {"submitted": 1, "failed": 1}
    steps = "orchestrator_steps_total"
    assert value(fleet_families, steps, queue="tool", outcome="succeeded") == 4
    assert value(fleet_families, steps, queue="tool", outcome="failed") == 1
    assert value(fleet_families, steps, queue="control", outcome="succeeded") == 1
    assert value(fleet_families, "orchestrator_slots", queue="tool") == 2
    assert value(fleet_families, "orchestrator_workers", queue="control") == 1
    assert value(fleet_families, "orchestrator_runs") == 0
    assert value(fleet_families, "orchestrator_store_up") == 1


def test_a_worker_of_processes_answers_for_all_of_them(fleet: StandingFleet) -> None:
    (worker,) = Stores(fleet.url, "test").fleet.workers()
    attempts = "orchestrator_attempts_total"

    def told() -> dict[str, Metric] | None:
        """Once every process has counted its attempts: it does so a moment after each has ended."""
        found = scraped(worker.metrics_port)
        if attempts not in found:
            return None
        ended = value(found, attempts, queue="tool") + value(found, attempts, queue="control", outcome="succeeded")
        return found if ended >= 6 and value(found, attempts, queue="control", outcome="left") else None

    families = wait_until(told, "all attempts are counted")
    assert families.keys() <= WORKER.keys()
    for name, family in families.items():
        kind, labels = WORKER[name]
        assert (family.type, labels_of(family)) == (kind, labels), name
    assert value(families, attempts, queue="tool") == 5
    assert value(families, attempts, queue="control", outcome="left") >= 1
    assert value(families, "orchestrator_stage_seconds", "_count", stage="work", queue="tool") == 5
    assert value(families, "orchestrator_stage_seconds", "_sum", stage="work", queue="tool") >= 0.05
    assert value(families, "orchestrator_stage_seconds", "_count", stage="slot", queue="tool") == 5
    assert value(families, "orchestrator_redis_seconds", "_count", script="settle") >= 6
    assert value(families, "orchestrator_sweeps_total") > 0
    assert value(families, "orchestrator_worker_slots") == 2


def test_flower_tells_of_the_fleet_beside_its_own(fleet: StandingFleet) -> None:
    flower = FlowerServer(fleet, {"ORCHESTRATOR_METRICS_PORT": "0"})

    def told() -> dict[str, Metric] | None:
        with suppress(OSError):
            return scraped(flower.port)
        return None

    families = wait_until(told, "Flower answers", 60)
    assert families.keys() == FLEET.keys()
    assert value(families, "orchestrator_runs_reached_total", state="failed") == 1


def test_every_instrument_of_a_worker_is_documented() -> None:
    told = (
        "from orchestrator_worker import meters; meters.begin(); from prometheus_client import REGISTRY;"
        "print(*[f.name + '_total' * (f.type == 'counter') for f in REGISTRY.collect()]); meters.end()"
    )
    made = set(subprocess.check_output([sys.executable, "-c", told], text=True, cwd=ROOT).split())
    ours = {name for name in made if name.startswith("orchestrator_")}
    presence = {"orchestrator_worker_info", "orchestrator_worker_slots", "orchestrator_worker_busy_slots"}
    assert ours | presence == WORKER.keys()


def test_a_worker_measures_nothing_until_it_is_told_to() -> None:
    told = "import sys, orchestrator_worker.process.life; print('prometheus_client' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", told], text=True, cwd=ROOT).strip() == "False"


def test_a_store_that_is_away_is_told_as_such(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    fleet_metrics.register(Stores(f"unix://{tmp_path / 'nobody.sock'}", "test"), registry)
    assert registry.get_sample_value("orchestrator_store_up") == 0


def test_models_that_are_seldom_called_are_counted_together(redis_server: Any) -> None:
    stores = Stores(redis_server.url, "test")
    totals = {f"model|m{number}|calls": 1000 - number for number in range(150)} | {"model|m0|nano": 2_000_000_000}
    stores.connection.redis.hset("orc:totals", mapping=totals)
    stores.connection.redis.expire("orc:totals", 60)
    registry = CollectorRegistry()
    fleet_metrics.register(stores, registry)
    calls = next(f for f in registry.collect() if f.name == "orchestrator_model_calls")
    assert len(calls.samples) == fleet_metrics.MOST_MODELS + 1
    assert registry.get_sample_value("orchestrator_model_cost_usd_total", {"model": "m0"}) == 2
    stores.close()


def named_in(expression: str) -> set[str]:
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\borchestrator_\w+", expression)}


def test_every_alert_names_metrics_that_exist() -> None:
    rules = YAML(typ="safe").load(ROOT / "deploy/prometheus/alerts.yaml")
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    assert len(expressions) > 5
    for expression in expressions:
        assert named_in(expression)
        assert named_in(expression) <= FLEET.keys() | WORKER.keys()


def test_the_dashboard_shows_metrics_that_exist_and_leaves_none_out() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/orchestrator.json").read_text())
    shown = {name for panel in dashboard["panels"] for target in panel["targets"] for name in named_in(target["expr"])}
    assert shown <= FLEET.keys() | WORKER.keys()
    assert (FLEET.keys() | WORKER.keys()) - shown == {
        "orchestrator_fleet_scrape_seconds",
        "orchestrator_slots",
        "orchestrator_worker_info",
    }
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
