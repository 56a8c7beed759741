"""Pages of the web as text. There is no browser behind it: a page is fetched once, and its scripts are not run.

What a page shows only after JavaScript has run is therefore missing; what its server sends is all there.
"""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from orchestrator_client.contract.catalog.web import HttpParameters, PageParameters, SearchParameters
from orchestrator_client.contract.errors import ToolFailed
from orchestrator_client.contract.plan import Json
from orchestrator_worker.tools import http, web_search
from orchestrator_worker.tools.base import ToolContext, ToolResult

PAGE_CHARACTERS = 2_000_000
"""Of a page's source that is read; the rest is left out, with a warning."""

LINKS = 1_000
"""Links of one page; further ones are left out, with a warning."""

_HEADERS = {"accept": "text/html,application/xhtml+xml,text/plain;q=0.8", "user-agent": "Mozilla/5.0 (orchestrator)"}
# Elements whose text nobody reads in a browser that runs scripts.
_HIDDEN = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "object"})
_MARKUP = frozenset({"", "text/html", "application/xhtml+xml"})
"""Types of what is read as HTML; one that its server does not name is."""
_MAIN = frozenset({"main", "article"})
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figcaption", "footer", "form", "h1"}
    | {"h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "td"}
    | {"th", "tr", "ul"}
)
"""Elements that begin and end a line."""


class _Page(HTMLParser):
    """A page as it is read. Never closed: at the end of a broken page, closing would search it again and again."""

    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.url = self.base = url
        self.metadata: dict[str, Json] = {}
        self.links: dict[str, str] = {}
        """Address -> the text of its first link."""
        self._title: list[str] = []
        self._text: list[str] = []
        self._main: list[str] = []
        # Counted, since elements nest: text is shown when nothing hidden is open.
        self._open = dict.fromkeys(("hidden", "main", "title"), 0)
        # Address and text of the link that is being read.
        self._link: tuple[str, list[str]] | None = None

    # ---- what the parser calls, in the order of the page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._count(tag, 1)
        match tag:
            case "base" if given.get("href"):
                self.base = urljoin(self.base, given["href"])
            case "meta" if name := given.get("name") or given.get("property"):
                self.metadata.setdefault(name, given.get("content", ""))
            case "a" if "href" in given:
                # Links do not nest: one that was not closed ends where the next begins.
                self._end_link()
                self._link = (given["href"], [])

    def handle_endtag(self, tag: str) -> None:
        self._count(tag, -1)
        if tag == "a":
            self._end_link()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        if self._open["hidden"]:
            return
        if self._open["title"]:
            self._title.append(data)
            return
        self._add(data)
        if self._link is not None:
            self._link[1].append(data)

    def _count(self, tag: str, step: int) -> None:
        """Keep count of the elements that are open. An end without a beginning counts for nothing."""
        kinds = {"hidden": tag in _HIDDEN, "main": tag in _MAIN, "title": tag == "title" and not self._open["hidden"]}
        if tag in _BLOCKS:
            self._add("\n")
        for kind, concerned in kinds.items():
            if concerned:
                self._open[kind] = max(0, self._open[kind] + step)

    # ---- what is kept of it

    def _add(self, text: str) -> None:
        """Keep a piece of text; lines and blanks are put in order when all of it is there."""
        self._text.append(text)
        if self._open["main"]:
            self._main.append(text)

    def _end_link(self) -> None:
        """Keep the link that is open, if it leads to another page."""
        if self._link is None:
            return
        (href, text), self._link = self._link, None
        try:
            address = urljoin(self.base, href.strip()).partition("#")[0]
            leads = urlsplit(address).scheme in ("http", "https")
        except ValueError:
            return  # no address, such as one with half a bracket; browsers pass over it too
        if leads:
            self.links.setdefault(address, _line("".join(text)))

    @property
    def title(self) -> str:
        """The page's own title, on one line; empty where it has none."""
        return _line("".join(self._title))

    @property
    def text(self) -> str:
        """All that a reader would see, a line for each block."""
        return _lines("".join(self._text))

    @property
    def main_text(self) -> str:
        """What stands in `main` and `article`, or all of it where that is nothing."""
        return _lines("".join(self._main)) or self.text


async def scrape(context: ToolContext, parameters: PageParameters) -> ToolResult:
    """Fetch a page: `{url, title, text, links: [{url, text}], word_count}`; addresses are absolute.

    Raises:
        ToolFailed: the page was not reached, or its server refused it, or it is no text.
    """
    page, warnings = await _fetched(context, parameters)
    text = page.text
    links = [{"url": url, "text": words} for url, words in page.links.items()]
    if len(links) > LINKS:
        warnings.append(f"{parameters.url[:80]} has {len(links)} links; {len(links) - LINKS} are left out")
    output = {"url": page.url, "title": page.title, "text": text, "links": links[:LINKS]}
    return ToolResult({**output, "word_count": len(text.split())}, warnings=tuple(warnings))


async def extract(context: ToolContext, parameters: PageParameters) -> ToolResult:
    """Fetch a page: `{url, title, content, metadata, word_count}`, the content being that of `main` or `article`.

    Raises:
        ToolFailed: the page was not reached, or its server refused it, or it is no text.
    """
    page, warnings = await _fetched(context, parameters)
    content = page.main_text
    output = {"url": page.url, "title": page.title, "content": content, "metadata": page.metadata}
    return ToolResult({**output, "word_count": len(content.split())}, warnings=tuple(warnings))


async def search(context: ToolContext, parameters: SearchParameters) -> ToolResult:
    """Search the web, as `web-search.search` does."""
    return await web_search.search(context, parameters)


async def _fetched(context: ToolContext, parameters: PageParameters) -> tuple[_Page, list[str]]:
    """The page, and what is to be said of it beside.

    Raises:
        ToolFailed: there is none, or it is no text.
    """
    asked = HttpParameters(url=parameters.url, headers=_HEADERS, timeout=parameters.timeout)
    answer = await http.get(context, asked)
    if not answer.success:
        raise ToolFailed(f"headless-browser: {answer.error}", answer.retryable)
    kind = answer.output["content_type"].partition(";")[0].strip().lower()
    if kind and not kind.startswith("text/") and not kind.endswith(("xml", "json")):
        remedy = "it reads HTML and other text; fetch other files with http.get or a command"
        raise ToolFailed(f"headless-browser: the page is {kind}; {remedy}", retryable=False)
    source, page = answer.output["text"], _Page(answer.output["url"])
    if kind in _MARKUP:
        # In a thread, because a long page takes seconds, in which the loop's other calls would stand still.
        await asyncio.to_thread(page.feed, source[:PAGE_CHARACTERS] + "\n")
    else:
        page.handle_data(source[:PAGE_CHARACTERS])
    too_long = f"{parameters.url[:80]} is longer than {PAGE_CHARACTERS} characters; the rest is left out"
    return page, [too_long] if len(source) > PAGE_CHARACTERS else []


def _line(text: str) -> str:
    """One line with single blanks."""
    return " ".join(text.split())


def _lines(text: str) -> str:
    """Lines with single blanks, and no empty ones."""
    return "\n".join(line for line in map(_line, text.split("\n")) if line)
