"""Search and pages, against a server on the loopback that answers as SearXNG and as a site."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_worker.tools import headless_browser, web_search
from orchestrator_worker.tools.base import Reach, ToolContext, ToolResult
from orchestrator_worker.tools.http import close_client
from orchestrator_worker.tools.registry import invoke

CONTEXT = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"), reach=Reach(("127.0.0.1",)))
PAGE = """<!DOCTYPE html>
<html><head><title>All
 about rivers</title><meta name="description" content="Long &amp; wet"><meta property="og:type" content="article">
<style>p { color: red }</style><script>document.write("<p>never</p>")</script></head>
<body><nav><a href="/home">Home</a> <a href="#top">Top</a></nav>
<main><h1>Rivers</h1><p>They are   long&nbsp;&mdash; and <b>deep</b>.</p><svg><title>Drawing</title></svg>
<noscript>Turn scripts on</noscript><ul><li>One<li>Two</ul>
<a href="../up?x=1#y"><i>Up</i> there</a> <a href="mailto:a@b.c">Mail</a> <a href="http://[bad">Bad</a>
<a href="/home">Again</a></main>
<footer>The end</footer></body></html>"""


class Handler(BaseHTTPRequestHandler):
    """Answers by path, and keeps what it was asked."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests speak for themselves."""

    def answer(self, body: str, kind: str = "text/html; charset=utf-8", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        self.server.asked.append((address, self.headers))  # type: ignore[attr-defined]
        hits = [
            {"title": f"Hit {number}", "url": f"https://h.example/{number}", "content": "About it", "score": 1}
            for number in range(4)
        ]
        match address.path:
            case "/search":
                found = {"query": "q", "number_of_results": 0, "results": [{"title": "no address"}, *hits]}
                self.answer(json.dumps(found), "application/json")
            case "/html-search":
                self.answer("<html></html>")
            case "/denied":
                self.answer("no", status=403)
            case "/busy":
                self.answer("later", status=503)
            case "/moved":
                self.answer("", status=302, Location="/search")
            case "/a/page":
                self.answer(PAGE)
            case "/to-page":
                self.answer("", status=302, Location="/a/page")
            case "/plain":
                self.answer("plain <b>\n\n text", "text/plain")
            case "/pdf":
                self.answer("%PDF", "application/pdf")
            case "/many":
                self.answer("".join(f"<a href='/{number}'>x</a>" for number in range(headless_browser.LINKS + 2)))
            case "/long":
                self.answer("<p>" + "y " * (headless_browser.PAGE_CHARACTERS // 2) + "<p>unread")
            case "/broken":
                self.answer("<p>text</p>" + "<!--" * 100_000)
            case "/base":
                self.answer("<base href='https://other.example/d/'><a href=e>E</a> tail & more")
            case _:
                self.answer("none", status=404)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.asked = []  # type: ignore[attr-defined]
    serving = threading.Thread(target=listening.serve_forever, args=(0.01,))
    serving.start()
    yield listening
    listening.shutdown()
    listening.server_close()
    serving.join()


@pytest.fixture
def site(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (web_search.URL_VARIABLE, web_search.KEY_VARIABLE, web_search.HEADER_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def do(uses: str, **parameters: object) -> ToolResult:
    async def scenario() -> ToolResult:
        called = invoke(uses, parameters, CONTEXT)
        assert not isinstance(called, ToolResult)
        try:
            return await called
        finally:
            await close_client()

    return asyncio.run(scenario())


class TestSearch:
    @pytest.mark.parametrize("uses", ["web-search.search", "headless-browser.search"])
    def test_hits_are_handed_on_in_order_up_to_the_number_asked_for(self, server, site, monkeypatch, uses):
        monkeypatch.setenv(web_search.URL_VARIABLE, site + "/search?format=json&q={query}&n={count}")
        result = do(uses, query="ö & {count}", max_results=2)
        assert result.value == {
            "result": {
                "results": [
                    {
                        "title": f"Hit {number}",
                        "url": f"https://h.example/{number}",
                        "snippet": "About it",
                        "relevance": share,
                        "relevance_score": share,
                    }
                    for number, share in enumerate((1.0, 0.5))
                ],
                "total_results": 2,
                "query": "ö & {count}",
            },
            "success": True,
            "error": None,
        }
        [(address, headers)] = server.asked
        assert parse_qs(address.query) == {"format": ["json"], "q": ["ö & {count}"], "n": ["2"]}
        assert headers["Accept"] == "application/json"
        assert headers["Authorization"] is None

    @pytest.mark.parametrize(
        ("header", "sent"), [(None, ("Authorization", "Bearer k-1")), ("X-Token", ("X-Token", "k-1"))]
    )
    def test_a_key_goes_into_its_header(self, server, site, monkeypatch, header, sent):
        monkeypatch.setenv(web_search.URL_VARIABLE, site + "/search?q={query}")
        monkeypatch.setenv(web_search.KEY_VARIABLE, "k-1")
        if header:
            monkeypatch.setenv(web_search.HEADER_VARIABLE, header)
        do("web-search.search", query="q")
        assert server.asked[0][1][sent[0]] == sent[1]

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            (None, r"ORCHESTRATOR_SEARCH_URL is not set; set it on the worker, as in https://\S+\{query\}"),
            ("https://s.example/?key=k-1", r"ORCHESTRATOR_SEARCH_URL has no \{query\} in it"),
            ("ftp://s.example/{query}?key=k-1", "takes http:// or https://"),
        ],
    )
    def test_a_worker_that_cannot_search_says_what_to_set(self, monkeypatch, address, message):
        if address:
            monkeypatch.setenv(web_search.URL_VARIABLE, address)
        with pytest.raises(ToolFailed, match=message) as refused:
            do("web-search.search", query="q")
        assert not refused.value.retryable
        assert "k-1" not in str(refused.value)

    @pytest.mark.parametrize(
        ("path", "message", "retryable"),
        [
            ("/denied", "HTTP 403", False),
            ("/busy", "HTTP 503", True),
            ("/moved", "answered HTTP 302; set ORCHESTRATOR_SEARCH_URL to its final address", False),
            ("/html-search", "is no JSON with 'results'", True),
        ],
    )
    def test_a_service_that_fails_is_named(self, site, monkeypatch, path, message, retryable):
        monkeypatch.setenv(web_search.URL_VARIABLE, site + path + "?q={query}")
        with pytest.raises(ToolFailed, match=message) as failed:
            do("web-search.search", query="q")
        assert failed.value.retryable is retryable

    def test_an_empty_query_is_refused(self):
        with pytest.raises(ParametersInvalid, match="parameter 'query'"):
            do("web-search.search", query="")


class TestPages:
    def test_scrape_leaves_title_text_and_links(self, site):
        scraped = do("headless-browser.scrape", url=site + "/to-page").output
        text = "Home Top\nRivers\nThey are long — and deep.\nOne\nTwo\nUp there Mail Bad\nAgain\nThe end"
        assert scraped == {
            "url": site + "/a/page",
            "title": "All about rivers",
            "text": text,
            "links": [
                {"url": site + "/home", "text": "Home"},
                {"url": site + "/a/page", "text": "Top"},
                {"url": site + "/up?x=1", "text": "Up there"},
            ],
            "word_count": len(text.split()),
        }

    def test_extract_leaves_the_main_text_and_metadata(self, site):
        extracted = do("headless-browser.extract", url=site + "/a/page").output
        assert extracted["content"] == "Rivers\nThey are long — and deep.\nOne\nTwo\nUp there Mail Bad\nAgain"
        assert extracted["metadata"] == {"description": "Long & wet", "og:type": "article"}
        assert (extracted["title"], extracted["url"]) == ("All about rivers", site + "/a/page")
        assert extracted["word_count"] == len(extracted["content"].split())

    def test_text_that_is_no_markup_is_taken_as_it_is(self, site):
        assert do("headless-browser.scrape", url=site + "/plain").output["text"] == "plain <b>\ntext"

    def test_a_page_may_name_its_base_and_end_in_the_middle(self, site):
        scraped = do("headless-browser.scrape", url=site + "/base").output
        assert scraped["links"] == [{"url": "https://other.example/d/e", "text": "E"}]
        assert scraped["text"] == "E tail & more"

    def test_a_broken_page_takes_no_time(self, site):
        assert do("headless-browser.scrape", url=site + "/broken", timeout=20).output["text"] == "text"

    def test_what_is_left_out_is_said(self, site):
        many = do("headless-browser.scrape", url=site + "/many")
        assert len(many.output["links"]) == headless_browser.LINKS
        assert many.warnings[0].endswith("/many has 1002 links; 2 are left out")
        long = do("headless-browser.extract", url=site + "/long")
        assert "the rest is left out" in long.warnings[0]
        assert "unread" not in long.output["content"]

    @pytest.mark.parametrize(
        ("path", "message", "retryable"),
        [("/pdf", "the page is application/pdf", False), ("/none", "HTTP 404", False), ("/busy", "HTTP 503", True)],
    )
    def test_a_page_that_cannot_be_read_is_a_failure(self, site, path, message, retryable):
        with pytest.raises(ToolFailed, match=message) as failed:
            do("headless-browser.scrape", url=site + path)
        assert failed.value.retryable is retryable

    def test_no_address_is_refused(self):
        with pytest.raises(ParametersInvalid, match="parameter 'url'"):
            do("headless-browser.scrape", url="")
