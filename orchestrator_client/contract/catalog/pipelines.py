"""Running another pipeline as a step. No tool: the engine itself does it, and no worker waits meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from orchestrator_client.contract.catalog.spec import ONCE, Parameters, ToolSpec, specs
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category

SUB_PIPELINE = "pipeline-executor.execute"


def _none_as_empty(written: Json) -> Json:
    return {} if written is None else written


class SubPipelineParameters(Parameters):
    pipeline: Json = None
    """A path, an id, or a whole pipeline as text or mapping. It is part of the plan, so a run never sees it here."""
    inputs: Annotated[dict[str, Json], BeforeValidator(_none_as_empty)] = Field(default_factory=dict)
    inherit_context: bool = True
    """The inputs of the pipeline around count where these do not say anything else."""
    output_mapping: Annotated[dict[str, str], BeforeValidator(_none_as_empty)] = Field(default_factory=dict)
    """Output of the pipeline -> the name by which this step has it; without any, all by their own names."""
    wait_for_completion: bool = True
    timeout: float | None = Field(default=None, ge=0)
    """Seconds; 0 and nothing: without a limit."""
    error_handling: Literal["fail", "continue", "retry"] = "fail"
    retry_count: int = Field(default=3, ge=0, le=100)
    """With `retry`: runs beyond the first."""
    retry_delay: float = Field(default=1.0, ge=0, le=86_400)
    """Seconds before the second run; twice as long before each that follows."""


CONTROLS: Mapping[str, ToolSpec] = specs(
    "pipeline-executor",
    Category.PIPELINE,
    ("execute", SubPipelineParameters, "Run another pipeline, as a run of its own", ONCE),
)
"""What the engine itself does, by the name that a step uses."""
