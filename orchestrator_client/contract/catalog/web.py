"""Tools for the web."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field

from orchestrator_client.contract.caps import TIMEOUT_SECONDS
from orchestrator_client.contract.catalog.spec import ONCE, READS, REPEATS, Parameters, ToolSpec, specs
from orchestrator_client.contract.record import Json
from orchestrator_client.contract.tool import Category


class HttpParameters(Parameters):
    url: str
    headers: dict[str, str] = Field(default_factory=dict)
    query: dict[str, Json] = Field(default_factory=dict, validation_alias=AliasChoices("query", "params"))
    json_body: Json = Field(default=None, validation_alias=AliasChoices("json", "json_body"))
    body: str | None = Field(default=None, validation_alias=AliasChoices("body", "data", "content"))
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)
    """Seconds for the whole exchange."""
    follow_redirects: bool = True
    idempotency_key: bool = False
    """Whether to send a header `Idempotency-Key` that is the same for every attempt at the step."""


class RequestParameters(HttpParameters):
    method: str = "GET"


class SearchParameters(Parameters):
    query: str = Field(min_length=1)
    max_results: int = Field(default=10, ge=1, le=100)


class PageParameters(Parameters):
    url: str
    timeout: float = Field(default=30.0, gt=0, le=TIMEOUT_SECONDS)


TOOLS: Mapping[str, ToolSpec] = {
    **specs(
        "http",
        Category.WEB,
        ("get", HttpParameters, "HTTP GET", READS),
        ("head", HttpParameters, "HTTP HEAD", READS),
        ("post", HttpParameters, "HTTP POST", ONCE),
        ("put", HttpParameters, "HTTP PUT", REPEATS),
        ("patch", HttpParameters, "HTTP PATCH", ONCE),
        ("delete", HttpParameters, "HTTP DELETE", REPEATS),
        ("request", RequestParameters, "HTTP request with any method", ONCE),
    ),
    **specs("web-search", Category.WEB, ("search", SearchParameters, "Search the web", READS)),
    **specs(
        "headless-browser",
        Category.WEB,
        ("scrape", PageParameters, "Fetch a page: title, text and links, without running its scripts", READS),
        ("extract", PageParameters, "Fetch a page: main text and metadata, without running its scripts", READS),
        ("search", SearchParameters, "Search the web", READS),
    ),
}
