"""Charts and a page of charts, as files of the run's folder."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath

from orchestrator_client.contract.catalog.data import ChartParameters, DashboardParameters
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.charts import Chart, charts_of, drawn
from orchestrator_worker.tools.paths import locate, open_regular, parent_of, write_bytes
from orchestrator_worker.tools.rows import names_of, table_of

PICTURE_BYTES = 10 * 1024 * 1024
"""Of one picture that a page takes in."""
PICTURES = 50
"""Of one page."""

_TYPES = {
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
}

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font-family: system-ui, sans-serif; margin: 2rem; }}
  main {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax({width}, 1fr)); }}
  figure {{ margin: 0; }} img {{ max-width: 100%; }}
</style>
<h1>{title}</h1>
<p>{at}</p>
<main>
{figures}
</main>
</html>
"""


def create_charts(context: ToolContext, parameters: ChartParameters) -> ToolResult:
    """Draw rows as files: `{charts, chart_types, output_dir}`, paths in the order of the types.

    Raises:
        ParametersInvalid: the data are no rows, or cannot be drawn.
        ToolFailed: matplotlib is not installed, or a file cannot be written.
    """
    paths = []
    charts = _charts(parameters)
    for chart in charts:
        path = str(
            PurePosixPath(parameters.output_dir)
            / f"{_slug(parameters.title) or 'chart'}_{chart.kind}.{parameters.format}"
        )
        write_bytes(path, drawn(chart, parameters.format), context, "visualization")
        paths.append(path)
    kinds: Json = [chart.kind for chart in charts]
    return ToolResult({"charts": paths, "chart_types": kinds, "output_dir": parameters.output_dir})


def create_dashboard(context: ToolContext, parameters: DashboardParameters) -> ToolResult:
    """Put charts on one page that needs no other file: `{url, path, charts}`. Charts of `data` are drawn for it.

    Raises:
        ParametersInvalid: a chart is no picture, there are too many, or there is nothing to show.
        ToolFailed: a chart cannot be read, or the page cannot be written.
    """
    shown = list(_pictures(context, parameters))
    if not shown:
        raise ParametersInvalid("visualization: a dashboard needs charts or data")
    figures = "\n".join(
        f'<figure><img alt="{html.escape(name)}" src="data:{kind};base64,{_base64(picture)}"></figure>'
        for name, kind, picture in shown
    )
    title = html.escape(parameters.title or "Dashboard")
    width = "100%" if parameters.layout == "column" else "28rem"
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    page = _PAGE.format(title=title, width=width, at=at, figures=figures)
    path = str(PurePosixPath(parameters.output_dir) / f"{_slug(parameters.title) or 'dashboard'}.html")
    write_bytes(path, page.encode(), context, "visualization")
    return ToolResult({"url": path, "path": path, "charts": [name for name, _, _ in shown]})


def _charts(parameters: ChartParameters) -> list[Chart]:
    """The charts that the parameters ask for."""
    kinds = parameters.chart_types if isinstance(parameters.chart_types, list) else [parameters.chart_types]
    rows = table_of(parameters.data).rows
    y = names_of(parameters.y, "y")
    return charts_of(rows, [str(kind) for kind in kinds] or ["auto"], parameters.title, parameters.x, y)


def _pictures(context: ToolContext, parameters: DashboardParameters) -> Iterator[tuple[str, str, bytes]]:
    """Name, media type and content of every picture."""
    given = parameters.charts
    if isinstance(given, dict):
        given = given.get("charts") or []
    paths = given if isinstance(given, list) else [given] if given else []
    if len(paths) > PICTURES:
        raise ParametersInvalid(f"visualization: {len(paths)} charts; a dashboard shows {PICTURES}")
    for path in paths:
        suffix = PurePosixPath(str(path)).suffix.lower()
        if suffix not in _TYPES:
            raise ParametersInvalid(f"visualization: {str(path)[:80]!r} is no picture; charts are {', '.join(_TYPES)}")
        yield str(path), _TYPES[suffix], _read(str(path), context)
    if parameters.data is not None:
        for chart in _charts(parameters):
            yield chart.title, _TYPES[f".{parameters.format}"], drawn(chart, parameters.format)


def _read(path: str, context: ToolContext) -> bytes:
    place = locate(path, context)
    try:
        with (
            parent_of(place) as (folder, name),
            open(open_regular(folder, name, os.O_RDONLY, place.given), "rb") as file,
        ):
            picture = file.read(PICTURE_BYTES + 1)
    except OSError as error:
        raise ToolFailed(f"visualization: chart {path!r} cannot be read: {error.strerror}", False) from error
    if len(picture) > PICTURE_BYTES:
        raise ParametersInvalid(f"visualization: chart {path!r} has more than {PICTURE_BYTES:,} bytes")
    return picture


def _base64(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _slug(title: str) -> str:
    """A title as a part of a file's name."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "_" for letter in title.lower())
    return "_".join(part for part in kept.split("_") if part)[:60]
