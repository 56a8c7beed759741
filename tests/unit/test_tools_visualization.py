"""Charts of rows, and a page of charts, as files of the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.catalog.data import ChartParameters, DashboardParameters
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_worker.tools.base import ToolContext
from orchestrator_worker.tools.charts import charts_of
from orchestrator_worker.tools.visualization import create_charts, create_dashboard

ROWS: list[dict[str, Any]] = [{"city": "Rome", "n": 3, "m": 2.5}, {"city": "Bonn", "n": 5, "m": None}]


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext("run_1", "s", 1, tmp_path)


def made(context: ToolContext, **parameters: Any) -> Any:
    return create_charts(context, ChartParameters.model_validate({"data": ROWS, **parameters})).output


def page(context: ToolContext, **parameters: Any) -> Any:
    return create_dashboard(context, DashboardParameters.model_validate(parameters)).output


@pytest.mark.parametrize("kind", ["bar", "line", "scatter", "histogram", "pie", "box", "heatmap"])
def test_each_type_is_a_picture(context: ToolContext, kind: str) -> None:
    output = made(context, chart_types=[kind], title="Cities $ & <more>")
    assert output == {"charts": [f"charts/cities_more_{kind}.png"], "chart_types": [kind], "output_dir": "charts"}
    assert (context.folder / output["charts"][0]).read_bytes().startswith(b"\x89PNG")


def test_svg_is_the_same_every_time(context: ToolContext) -> None:
    first, second = (made(context, format="svg", output_dir=folder)["charts"][0] for folder in ("a", "b"))
    assert "<svg" in (context.folder / first).read_text()
    assert first.removeprefix("a") == second.removeprefix("b")


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [(ROWS, ["bar"]), ([{"n": 1}, {"n": 2}], ["line"])],
)
def test_auto_goes_by_the_columns(rows: list[dict[str, Any]], kinds: list[str]) -> None:
    assert [chart.kind for chart in charts_of(rows, ["auto"], "", None, [])] == kinds


def test_columns_are_those_that_are_named(context: ToolContext) -> None:
    (chart,) = charts_of(ROWS, ["bar_chart"], "", "n", ["m"])
    assert (chart.labels, list(chart.series), chart.title) == (["3", "5"], ["m"], "bar of m")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"data": []}, "no rows to draw"),
        ({"data": [{"a": "x"}]}, "no column has numbers"),
        ({"chart_types": ["radar"]}, "no chart type 'radar'"),
        ({"y": "none"}, "no column 'none'"),
        ({"output_dir": "../out"}, "outside"),
        ({"chart_types": "pie", "data": [{"n": -1}]}, "a pie needs numbers above 0"),
    ],
)
def test_what_cannot_be_drawn(context: ToolContext, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParametersInvalid, match=message):
        made(context, **parameters)


def test_a_page_holds_its_pictures(context: ToolContext) -> None:
    charts = made(context, chart_types=["bar", "pie"])
    output = page(context, charts=charts, data=ROWS, title="<Mine>", layout="column")
    text = (context.folder / output["url"]).read_text()
    assert (output["url"], output["path"], len(output["charts"])) == ("mine.html", "mine.html", 3)
    assert text.count("data:image/png;base64,") == 3
    assert "&lt;Mine&gt;" in text
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.parametrize(
    ("charts", "message"),
    [
        ([], "needs charts or data"),
        (["a.txt"], "is no picture"),
        (["a.png"] * 51, "51 charts"),
        (["../a.png"], "outside"),
    ],
)
def test_a_page_of_something_else(context: ToolContext, charts: list[str], message: str) -> None:
    with pytest.raises(ParametersInvalid, match=message):
        page(context, charts=charts)


def test_a_chart_that_is_not_there(context: ToolContext) -> None:
    with pytest.raises(ToolFailed, match=r"chart 'a.png' cannot be read: No such file"):
        page(context, charts=["a.png"])
