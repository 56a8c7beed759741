"""A Markdown report of what steps have found. It only sets what it is given: no model is asked, nothing is judged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime

from orchestrator_client.contract.catalog.aids import ReportParameters
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools.base import ToolContext, ToolResult

EXCERPT_CHARACTERS = 2_000
"""Of the text of one page that a report quotes."""


def generate(_context: ToolContext, parameters: ReportParameters) -> ToolResult:
    """Set a report: `{markdown, word_count, timestamp, title}`; a section that there is nothing for is left out.

    Existing pipelines read the text as `content` too.

    `timestamp` is the time of the report, ISO 8601 in UTC; `word_count` counts what blanks part.
    """
    timestamp = datetime.now(UTC).isoformat(timespec="seconds")
    markdown = "\n\n".join(part for part in _parts(parameters, timestamp) if part) + "\n"
    output = {
        "markdown": markdown,
        "content": markdown,
        "word_count": len(markdown.split()),
        "timestamp": timestamp,
        "title": parameters.title,
    }
    return ToolResult(output)


def _parts(parameters: ReportParameters, timestamp: str) -> Iterator[str]:
    """The report's parts from top to bottom; those without content are empty.

    The author's words come first, what was found after them, and what to do about it at the end.
    """
    yield "" if _opens_with_heading(parameters.content) else f"# {_line(parameters.title)}"
    yield _facts(parameters, timestamp)
    yield parameters.content.strip()
    yield _section("Context", parameters.context.strip())
    yield _section("Findings", _bullets(parameters.findings))
    yield _section("Search results", _hits(_listed(parameters.search_results, "results")))
    yield _section("Extracted content", _pages(_listed(parameters.extraction_results, "pages")))
    yield _section("Recommendations", _bullets(parameters.recommendations))


def _opens_with_heading(content: str) -> bool:
    """Whether the author's own text brings its title."""
    return content.lstrip().startswith("# ")


def _facts(parameters: ReportParameters, timestamp: str) -> str:
    """What the report is about, when it was made, and how good somebody said that it is."""
    facts = {"Query": _line(parameters.query), "Generated": timestamp, "Quality score": parameters.quality_score}
    # Two blanks at its end break a line in Markdown.
    return "  \n".join(f"**{name}:** {value}" for name, value in facts.items() if value not in ("", None))


def _section(heading: str, content: str) -> str:
    """A part under its heading; nothing where there is nothing to say."""
    return f"## {heading}\n\n{content}" if content else ""


def _bullets(given: Json) -> str:
    """A list as bullets; text as it stands."""
    if isinstance(given, str):
        return given.strip()
    items = given if isinstance(given, list) else [] if given is None else [given]
    return "\n".join(f"- {_line(_text(item))}" for item in items)


def _listed(given: Json, field: str) -> list[Json]:
    """Hits or pages, from a list of them, from a step's result that holds such a list, or from one alone.

    A template that is more than one expression gives text: JSON is read again, other text is taken for one item.
    """
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return [given] if given.strip() else []
    if isinstance(given, dict):
        inner = given.get(field, given.get("result", given))
        return _listed(inner, field) if inner is not given else [given]
    return given if isinstance(given, list) else []


def _hits(hits: list[Json]) -> str:
    """A numbered list of links, each with its snippet below.

    What is no mapping is shown as it is, so that nobody wonders where it went.
    """
    lines = []
    for number, hit in enumerate(hits, 1):
        found = hit if isinstance(hit, dict) else {"snippet": _text(hit)}
        title, url = _line(_text(found.get("title") or found.get("url") or "")), _text(found.get("url") or "")
        # A bracket would end the link's text, and a blank in the address the link.
        link = f"[{title.replace(']', '')}](<{url}>)" if url else title
        snippet = _line(_text(found.get("snippet") or ""))
        lines.append(f"{number}. " + "\n   ".join(part for part in (link, snippet) if part))
    return "\n".join(lines)


def _pages(pages: list[Json]) -> str:
    """Each page under its title, with the beginning of its text."""
    parts = []
    for page in pages:
        found = page if isinstance(page, dict) else {"text": _text(page)}
        text = _text(found.get("text") or found.get("content") or "").strip()
        cut = text if len(text) <= EXCERPT_CHARACTERS else text[:EXCERPT_CHARACTERS].rstrip() + " […]"
        title, url = _line(_text(found.get("title") or "")), _text(found.get("url") or "")
        parts += [f"### {title or url}" if title or url else "", f"Source: <{url}>" if url else "", cut]
    return "\n\n".join(part for part in parts if part)


def _text(value: Json) -> str:
    """Text as it stands, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _line(text: str) -> str:
    """One line with single blanks: a line break would end a heading or an item."""
    return " ".join(text.split())
