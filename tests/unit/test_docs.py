"""The pages say what the code does: their YAML loads, and their tables name exactly what there is.

A fence `yaml` holds a whole file and must load without a problem; a fence `yaml fragment` holds a part of one.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator_client.contract import caps, catalog
from orchestrator_client.contract.document import RunDocument, StepDocument
from orchestrator_client.contract.plan import InputType, OnFailure, Plan
from orchestrator_client.contract.template import filters
from orchestrator_client.loader import dialect, loads
from orchestrator_client.loader.parameters import spellings_of
from orchestrator_worker.context.scope import scope_of
from orchestrator_worker.lifecycle import attempts_of
from orchestrator_worker.records import OpenRun
from orchestrator_worker.settings import Settings

ROOT = Path(__file__).parents[2]
REFERENCE = "docs/pipelines.md"
PAGES = (REFERENCE, "README.md")

Row = list[str]


def text_of(page: str) -> str:
    """A page; empty where there is none."""
    path = ROOT / page
    return path.read_text(encoding="utf-8") if path.exists() else ""


def yaml_blocks() -> list[tuple[str, str]]:
    """Page and line, and the text, of every block that claims to be a whole file."""
    found = []
    for page in PAGES:
        text = text_of(page)
        for block in re.finditer(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            found.append((f"{page}:{text.count(chr(10), 0, block.start()) + 1}", block[1]))
    return found


def tables(text: str) -> dict[str, list[Row]]:
    """Rows of every table by its header line, and by the heading above it where several tables share a header."""
    found: dict[str, list[Row]] = {}
    heading, rows = "", None
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.strip("#` ")
        if not line.startswith("| "):
            rows = None if not line.startswith("|-") else rows
        elif rows is None:
            rows = found.setdefault(f"{heading}: {line}", [])
        else:
            rows.append([cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")])
    return found


def table(heading: str, first: str) -> list[Row]:
    """The one table under a heading whose first column has that title."""
    matching = [rows for key, rows in tables(text_of(REFERENCE)).items() if key.startswith(f"{heading}: | {first} |")]
    assert len(matching) == 1, f"tables of '{first}' under '{heading}': {len(matching)}"
    return matching[0]


def names_in(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_column(rows: list[Row]) -> list[str]:
    """Every name in the first column; a name that stands there twice is there twice."""
    return [name for row in rows for name in names_in(row[0])]


def in_order(names: object) -> list[str]:
    """A collection of names as something that a failed test shows well."""
    return sorted(map(str, names))  # type: ignore[call-overload]  # any iterable of names


@pytest.mark.parametrize(("place", "text"), yaml_blocks())
def test_every_yaml_block_loads_without_a_problem(place: str, text: str) -> None:
    assert [warning.render(place) for warning in loads(text, place).warnings] == []


def test_the_reference_and_the_readme_have_examples() -> None:
    pages = {place.partition(":")[0] for place, _ in yaml_blocks()}
    assert pages == set(PAGES)


class TestKeys:
    def test_top_level(self) -> None:
        assert in_order(first_column(table("Top-level keys", "key"))) == in_order(dialect.TOP_KEYS)

    def test_inputs(self) -> None:
        rows = table("Inputs", "key")
        assert in_order(first_column(rows)) == in_order(dialect.INPUT_KEYS)
        types = next(row[2] for row in rows if row[0] == "`type`")
        assert in_order(names_in(types)) == in_order(dialect.INPUT_TYPES)
        assert in_order(InputType) == in_order(names_in(types.partition("; also")[0]))

    def test_steps(self) -> None:
        assert in_order(first_column(table("Steps", "key"))) == in_order(dialect.STEP_KEYS)

    def test_policies(self) -> None:
        assert in_order(first_column(table("Failure", "`on_failure`"))) == in_order(OnFailure)

    def test_refused_keys_and_tools(self) -> None:
        section = text_of(REFERENCE).partition("## What is refused for now")[2].partition("\n## ")[0]
        named = set(names_in(section))
        assert dialect.STEP_LATER.keys() <= named
        assert {name for name in named if "-" in name} <= dialect.TOOLS_LATER.keys()


class TestTemplates:
    def test_filters(self) -> None:
        assert in_order(first_column(table("Templates", "filter"))) == in_order(filters.filters())

    def test_names(self) -> None:
        run = OpenRun("run_1", "hash", b"{}", 0)
        given = scope_of(run, Plan(id="p", steps=()), {}, lambda instances: {})
        shown = set(first_column(table("Templates", "name"))) - {"<input>", "<step>", "outputs"}
        assert in_order(shown) == in_order(given)


class TestTools:
    @pytest.mark.parametrize("tool", sorted(dialect.tools()))
    def test_actions(self, tool: str) -> None:
        assert in_order(first_column(table(tool, "action"))) == in_order(catalog.actions_of(tool))

    @pytest.mark.parametrize("name", catalog.TOOLS)
    def test_parameters_and_attempts(self, name: str) -> None:
        tool, _, action = name.rpartition(".")
        row = next(row for row in table(tool, "action") if action in names_in(row[0]))
        record = catalog.TOOLS[name].parameters
        required = {field for field, info in record.model_fields.items() if info.is_required()}
        wanted = [
            f"**`{names[0]}`**" if field in required else f"`{names[0]}`"
            for field, names in spellings_of(record).items()
        ]
        assert in_order(row[2].split(", ")) == in_order(wanted)
        step = loads(f"steps: [{{id: s, tool: {name}, parameters: {row_of_parameters(required, record)}}}]").plan.steps[
            0
        ]
        assert int(row[1]) == attempts_of(step)

    def test_no_tool_is_described_that_is_not_there(self) -> None:
        described = re.findall(r"^### `(.+)`$", text_of(REFERENCE), re.MULTILINE)
        assert in_order(described) == in_order(dialect.tools())

    def test_aliases(self) -> None:
        introduction = text_of(REFERENCE).partition("\n## Tools\n")[2].partition("###")[0]
        assert set(names_in(introduction)) >= catalog.TOOL_ALIASES.keys()


def row_of_parameters(required: set[str], record: type[catalog.Parameters]) -> str:
    """The required parameters of an action in YAML, each a template, which fits every type."""
    return "{" + ", ".join(f"{spellings_of(record)[field][0]}: '{{{{ x }}}}'" for field in sorted(required)) + "}"


class TestModels:
    def test_actions(self) -> None:
        rows = table("Model steps", "action")
        shown = {alias: names_in(row[0])[0] for row in rows for alias in names_in(row[1])}
        assert first_column(rows) == list(catalog.MODEL_ACTIONS)
        assert shown == dict(catalog.ACTION_ALIASES)

    def test_parameters(self) -> None:
        rows = table("Model steps", "parameter")
        spellings = spellings_of(catalog.MODEL_ACTIONS["analyze"])
        assert in_order(first_column(rows)) == in_order(names[0] for names in spellings.values())
        for row in rows:
            names = next(names for names in spellings.values() if names[0] == names_in(row[0])[0])
            assert set(names[1:]) <= set(names_in(row[2]))


class TestNumbers:
    def test_limits(self) -> None:
        shown = {names_in(row[0])[0]: float(row[1].replace(",", "")) for row in table("Limits", "cap")}
        assert shown == {name: value for name, value in vars(caps).items() if name.isupper()}


class TestDocument:
    def test_the_example_has_every_field(self) -> None:
        example = re.search(r"```json\n(.*?)```", text_of(REFERENCE), re.DOTALL)
        assert example is not None
        document = RunDocument.model_validate_json(example[1], strict=False)
        assert document.model_fields_set == RunDocument.model_fields.keys()
        assert [step.model_fields_set for step in document.steps.values()] == [StepDocument.model_fields.keys()]


def test_settings() -> None:
    rows = re.findall(
        r"^\| `(ORCHESTRATOR_\w+)` \|", text_of("README.md") + text_of("docs/operations.md"), re.MULTILINE
    )
    if not rows:
        pytest.skip("no page has a table of settings yet")
    assert in_order(rows) == in_order(f"ORCHESTRATOR_{name.upper()}" for name in Settings.model_fields)
