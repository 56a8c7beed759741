"""Search of the web by whatever service the worker is told of.

The service is an address that answers a query in SearXNG's JSON format: `results`, a list of mappings with `title`,
`url` and `content`. Another format is another `Provider`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Protocol
from urllib.parse import quote

from orchestrator_client.contract.catalog.web import HttpParameters, SearchParameters
from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools import http
from orchestrator_worker.tools.base import Reach, ToolContext, ToolResult

URL_VARIABLE = "ORCHESTRATOR_SEARCH_URL"
"""Address of the service, with `{query}` and, where it takes one, `{count}`."""

KEY_VARIABLE = "ORCHESTRATOR_SEARCH_KEY"
"""The service's key; not needed where it takes none."""

HEADER_VARIABLE = "ORCHESTRATOR_SEARCH_KEY_HEADER"
"""Header that carries the key as it is. Without one, `Authorization: Bearer <key>` does."""

EXAMPLE = "https://searx.example.org/search?format=json&q={query}"


class Provider(Protocol):
    """A search service."""

    async def search(self, context: ToolContext, query: str, count: int) -> list[dict[str, Json]]:
        """At most `count` hits, best first, each `{title, url, snippet}`.

        Raises:
            ToolFailed: the service was not reached, refused, or answered something else.
        """
        ...


@dataclass(frozen=True, slots=True)
class JsonEndpoint:
    """A service that answers a GET with SearXNG's JSON."""

    address: str
    """With `{query}` and `{count}`."""
    headers: dict[str, str]

    async def search(self, context: ToolContext, query: str, count: int) -> list[dict[str, Json]]:
        url = self.address.replace("{count}", str(count)).replace("{query}", quote(query, safe=""))
        # Not redirected: a header that is not Authorization would follow to another host.
        asked = HttpParameters(url=url, headers={"accept": "application/json", **self.headers}, follow_redirects=False)
        # Whoever set the worker's environment allows the address, wherever it is.
        trusting = replace(context, reach=Reach(everything=True))
        try:
            answer = await http.get(trusting, asked)
        except ParametersInvalid as error:
            # Not quoted: an address may hold a key.
            remedy = f"{URL_VARIABLE} takes http:// or https:// and a host, {HEADER_VARIABLE} the name of a header"
            raise ToolFailed(f"web-search: the worker cannot ask its service; {remedy}", retryable=False) from error
        if not answer.success:
            raise ToolFailed(f"web-search: {answer.error}", answer.retryable)
        if answer.output["status_code"] != 200:
            said = f"the service answered HTTP {answer.output['status_code']}"
            raise ToolFailed(f"web-search: {said}; set {URL_VARIABLE} to its final address", retryable=False)
        return _hits(answer.output["json"])[:count]


async def search(context: ToolContext, parameters: SearchParameters) -> ToolResult:
    """Search the web: `{results: [{title, url, snippet, relevance}], total_results, query}`, the total of those listed.

    `relevance` only says the place among them, as services order their hits by it: 1 for the first, and evenly less.

    Raises:
        ToolFailed: no service is configured, or it failed.
    """
    hits = await provider().search(context, parameters.query, parameters.max_results)
    ranked: Json = [{**hit, **_relevance(1 - place / len(hits))} for place, hit in enumerate(hits)]
    return ToolResult({"results": ranked, "total_results": len(hits), "query": parameters.query})


def _relevance(share: float) -> dict[str, Json]:
    """The same number under both names by which existing pipelines read it."""
    return dict.fromkeys(("relevance", "relevance_score"), round(share, 2))


def provider() -> Provider:
    """The service that the worker's environment names.

    Raises:
        ToolFailed: it names none, or one whose address has no place for the query.
    """
    address = os.environ.get(URL_VARIABLE, "").strip()
    if "{query}" not in address:
        found = "has no {query} in it" if address else "is not set"
        raise ToolFailed(f"web-search: {URL_VARIABLE} {found}; set it on the worker, as in {EXAMPLE}", retryable=False)
    return JsonEndpoint(address, _key_header())


def _key_header() -> dict[str, str]:
    """The header with the key, if there is one."""
    key, header = os.environ.get(KEY_VARIABLE, ""), os.environ.get(HEADER_VARIABLE, "")
    if not key:
        return {}
    return {header: key} if header else {"Authorization": f"Bearer {key}"}


def _hits(answer: Json) -> list[dict[str, Json]]:
    """The hits of an answer. One without an address leads nowhere, and is left out.

    Raises:
        ToolFailed: it is not in the format.
    """
    found = answer.get("results") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise ToolFailed("web-search: the service's answer is no JSON with 'results'; does its address ask for JSON?")
    return [
        {"title": str(hit.get("title") or ""), "url": str(hit["url"]), "snippet": str(hit.get("content") or "")}
        for hit in found
        if isinstance(hit, dict) and hit.get("url")
    ]
