"""Tools for rows, documents and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from orchestrator_client.contract.catalog.spec import READS, REPEATS, Parameters, ToolSpec, specs
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category


class DataParameters(Parameters):
    data: Json = Field(validation_alias=AliasChoices("data", "input_data"))
    """Rows (a list of mappings), a mapping that holds them, one mapping, or text in JSON or CSV."""
    operation: dict[str, Json] = Field(default_factory=dict)
    output_format: str | None = Field(default=None, validation_alias=AliasChoices("output_format", "format"))
    """`csv` leaves the result's `data` as CSV text; otherwise it is rows."""


class TransformParameters(DataParameters):
    transformations: list[Json] = Field(
        default_factory=list, validation_alias=AliasChoices("transformations", "operations")
    )
    """As in `operation.transformations`, after which they come."""


class AggregateParameters(DataParameters):
    group_by: Json = None
    """A column or a list of them; also as `operation.group_by`."""
    aggregations: dict[str, Json] = Field(default_factory=dict)
    """Column to function, or name to `{column, function}`; also as `operation.aggregations`."""


class PivotParameters(DataParameters):
    index: Json = None
    columns: Json = None
    values: Json = None
    """Each a column or a list of them."""
    aggfunc: str = "sum"
    fill_value: Json = None


class MergeParameters(Parameters):
    datasets: list[Json]
    """Each `{name, data}`."""
    merge_strategy: Literal["combine", "join"] = "combine"
    join_on: Json = None
    join_type: Literal["inner", "left", "right", "outer"] = "inner"


class CleanParameters(DataParameters):
    remove_duplicates: bool = True
    handle_missing: Literal["drop", "fill", "forward_fill", "backward_fill", "keep"] = "drop"
    fill_value: Json = ""


class ValidationParameters(Parameters):
    data: Json
    schema_: Json = Field(validation_alias=AliasChoices("schema", "schema_"))
    mode: Literal["strict", "lenient", "permissive", "report_only"] = Field(
        default="strict", validation_alias=AliasChoices("mode", "validation_level")
    )

    @field_validator("mode", mode="before")
    @classmethod
    def _lower_case(cls, mode: Json) -> Json:
        return mode.lower() if isinstance(mode, str) else mode


class TextParameters(Parameters):
    text: Json = Field(validation_alias=AliasChoices("text", "content"))


class ChartParameters(Parameters):
    data: Json
    """Rows, as for `data-processing`."""
    chart_types: Json = Field(default="auto", validation_alias=AliasChoices("chart_types", "chart_type", "type"))
    title: str = ""
    x: str | None = Field(default=None, validation_alias=AliasChoices("x", "x_column", "x_axis"))
    y: Json = Field(default=None, validation_alias=AliasChoices("y", "y_column", "y_axis"))
    output_dir: str = "charts"
    format: Literal["png", "svg"] = "png"


class DashboardParameters(ChartParameters):
    data: Json = None
    charts: Json = None
    """Paths of pictures, or the step that has drawn them."""
    layout: str = "grid"
    output_dir: str = "."


class EchoParameters(Parameters):
    text: Json = Field(default="", validation_alias=AliasChoices("text", "message", "content"))


class CalculateParameters(Parameters):
    expression: str
    variables: dict[str, int | float] = Field(default_factory=dict)


TOOLS: Mapping[str, ToolSpec] = {
    **specs(
        "data-processing",
        Category.DATA,
        ("filter", DataParameters, "Keep the rows whose fields equal the criteria", READS),
        ("transform", TransformParameters, "Apply a list of transformations to rows", READS),
        ("aggregate", AggregateParameters, "Group rows and aggregate columns", READS),
        ("pivot", PivotParameters, "Pivot rows into a table", READS),
        ("convert", DataParameters, "Convert between JSON and CSV", READS),
        ("profile", DataParameters, "Describe columns: types, missing and distinct values", READS),
        ("merge", MergeParameters, "Combine or join datasets", READS),
        ("clean", CleanParameters, "Drop duplicates and missing values", READS),
    ),
    **specs(
        "validation",
        Category.VALIDATION,
        ("validate", ValidationParameters, "Validate data against a JSON Schema", READS),
    ),
    **specs(
        "visualization",
        Category.DATA,
        ("create_charts", ChartParameters, "Draw rows as charts", REPEATS),
        ("create_dashboard", DashboardParameters, "Put charts on one page", REPEATS),
    ),
    **specs(
        "text",
        Category.DATA,
        ("count_words", TextParameters, "Count words, characters and lines", READS),
        ("echo", EchoParameters, "Hand on a text", READS),
        ("calculate", CalculateParameters, "Work out an arithmetic expression", READS),
    ),
}
