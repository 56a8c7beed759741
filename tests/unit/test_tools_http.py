"""HTTP requests against a real server on the loopback: results, caps and refusals."""

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed, ValueTooLarge
from orchestrator_worker.tools.base import Reach, ToolContext, ToolResult
from orchestrator_worker.tools.http import BODY_BYTES, close_client
from orchestrator_worker.tools.registry import invoke

CONTEXT = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"), reach=Reach(("127.0.0.1",)))


class Handler(BaseHTTPRequestHandler):
    """Answers by path; `/echo` says what it was asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests speak for themselves."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo(self) -> None:
        received = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        seen = {"method": self.command, "path": self.path, "headers": dict(self.headers.items()), "body": received}
        self.answer(200, json.dumps(seen).encode(), Content_Type="application/json; charset=utf-8", Set_Cookie="s=1")

    def endless(self) -> None:
        self.send_response(302 if "redirect" in self.path else 200)
        self.send_header("Location", "/text")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            self.close_connection = True

    def do_GET(self) -> None:
        hop = int(self.path.rpartition("/")[2]) if self.path.startswith("/hops/") else 0
        bomb = gzip.compress(b"\0" * (BODY_BYTES + 1))
        match self.path.partition("?")[0]:
            case "/text":
                self.answer(200, "grüße".encode("latin-1"), Content_Type="text/plain; charset=latin-1")
            case "/broken-json":
                self.answer(200, b'{"a": NaN}', Content_Type="application/json")
            case "/missing":
                self.answer(404, b"no such page" * 100)
            case "/gzip":
                self.answer(200, gzip.compress(b"one") + gzip.compress(b"two"), Content_Encoding="gzip")
            case "/cut-gzip":
                self.answer(200, gzip.compress(b"one" * 100)[:-9], Content_Encoding="gzip")
            case "/bomb":
                self.answer(200, bomb, Content_Encoding="gzip")
            case "/brotli":
                self.answer(200, b"x", Content_Encoding="br")
            case "/endless" | "/endless-redirect":
                self.endless()
            case "/hang":
                self.server.released.wait(30)  # type: ignore[attr-defined]
            case "/to-file":
                self.answer(302, Location="file:///etc/passwd")
            case path if path.startswith("/hops/"):
                self.answer(302, Location=f"/hops/{hop - 1}" if hop > 1 else "/text")
            case _:
                self.echo()

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_PURGE = do_GET


class Server(ThreadingHTTPServer):
    """Its backlog holds all that one test sends at once: beyond the usual 5, Linux drops and retries for seconds."""

    request_queue_size = 128


@pytest.fixture
def server() -> Iterator[str]:
    listening = Server(("127.0.0.1", 0), Handler)
    listening.released = threading.Event()  # type: ignore[attr-defined]
    serving = threading.Thread(target=listening.serve_forever, args=(0.01,))
    serving.start()
    yield f"http://127.0.0.1:{listening.server_port}"
    listening.released.set()  # type: ignore[attr-defined]
    listening.shutdown()
    listening.server_close()
    serving.join()


async def asking(action: str, **parameters: object) -> ToolResult:
    called = invoke(f"http.{action}", parameters, CONTEXT)
    assert not isinstance(called, ToolResult)
    return await called


def ask(action: str, **parameters: object) -> ToolResult:
    async def scenario() -> ToolResult:
        try:
            return await asking(action, **parameters)
        finally:
            await close_client()

    return asyncio.run(scenario())


def test_a_json_answer_is_parsed(server):
    result = ask("get", url=f"{server}/echo?a=1", query={"b": [2, True]}, headers={"X-Id": 5})
    output = result.output
    assert (result.success, result.error, output["status_code"]) == (True, None, 200)
    assert output["json"]["path"] == "/echo?a=1&b=2&b=true"
    assert output["json"]["headers"]["x-id"] == "5"
    assert json.loads(output["text"]) == output["json"]
    assert output["content_type"] == output["headers"]["content-type"] == "application/json; charset=utf-8"
    assert output["url"] == f"{server}/echo?a=1&b=2&b=true"
    assert 0 <= output["elapsed_seconds"] < 60


def test_text_is_decoded_by_its_charset(server):
    output = ask("get", url=f"{server}/text").output
    assert (output["text"], output["json"]) == ("grüße", None)


@pytest.mark.parametrize("action", ["post", "put", "patch", "delete"])
def test_each_method_sends_its_body(server, action):
    seen = ask(action, url=f"{server}/echo", json={"é": 1}).output["json"]
    assert (seen["method"], seen["body"]) == (action.upper(), '{"é": 1}')
    assert seen["headers"]["content-type"] == "application/json"


def test_head_has_no_body_and_request_takes_any_method(server):
    head = ask("head", url=f"{server}/text")
    assert (head.success, head.output["text"]) == (True, "")
    assert ask("request", url=f"{server}/echo", method="purge", body="x").output["json"]["method"] == "PURGE"


def test_a_status_of_400_or_above_is_a_reported_failure_without_the_query(server):
    result = ask("get", url=f"{server}/missing?key=secret")
    assert (result.success, result.output["status_code"]) == (False, 404)
    assert str(result.error).startswith(f"HTTP 404 Not Found from GET {server}/missing: no such page")
    assert "secret" not in str(result.error)
    assert len(str(result.error)) < 400


def test_json_that_does_not_parse_is_a_warning(server):
    result = ask("get", url=f"{server}/broken-json")
    assert (result.success, result.output["json"], result.output["text"]) == (True, None, '{"a": NaN}')
    assert "does not parse: NaN is not JSON" in result.warnings[0]


def test_compressed_bodies_are_unpacked_and_checked(server):
    assert ask("get", url=f"{server}/gzip").output["text"] == "onetwo"
    with pytest.raises(ToolFailed, match="breaks off before its end"):
        ask("get", url=f"{server}/cut-gzip")
    with pytest.raises(ToolFailed, match="encoding 'br', which was not asked for"):
        ask("get", url=f"{server}/brotli")


@pytest.mark.parametrize("path", ["/bomb", "/endless"])
def test_a_body_above_the_cap_is_not_read_to_its_end(server, path):
    with pytest.raises(ValueTooLarge, match=f"larger than {BODY_BYTES} bytes"):
        ask("get", url=server + path)


def test_redirects_are_followed_to_a_limit(server):
    assert ask("get", url=f"{server}/hops/10").output["url"] == f"{server}/text"
    with pytest.raises(ToolFailed, match="more than 10 redirects"):
        ask("get", url=f"{server}/hops/11")


def test_a_redirect_without_end_is_not_read(server):
    assert ask("get", url=f"{server}/endless-redirect").output["text"] == "grüße"


def test_redirects_may_be_declined(server):
    result = ask("get", url=f"{server}/hops/1", follow_redirects=False)
    assert (result.output["status_code"], result.output["headers"]["location"]) == (302, "/text")


def test_a_redirect_to_a_file_is_refused(server):
    with pytest.raises(ToolFailed, match="UnsupportedProtocol"):
        ask("get", url=f"{server}/to-file")


def test_the_timeout_is_for_the_whole_exchange(server):
    with pytest.raises(ToolFailed, match=r"took longer than its timeout of 0\.3 s"):
        ask("get", url=f"{server}/hang", timeout=0.3)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(ToolFailed, match=r"GET http://127\.0\.0\.1:1/ failed: .*ConnectError"):
        ask("get", url="http://127.0.0.1:1/")


def test_one_request_leaves_no_cookie_for_the_next(server):
    async def scenario() -> dict[str, str]:
        await asking("get", url=f"{server}/echo")
        second = await asking("get", url=f"{server}/echo")
        await close_client()
        return second.output["json"]["headers"]

    assert "cookie" not in {name.lower() for name in asyncio.run(scenario())}


def test_a_key_tells_another_attempt_from_another_request(server):
    sent = [ask("post", url=f"{server}/echo", idempotency_key=True).output["json"]["headers"] for _ in range(2)]
    assert sent[0]["Idempotency-Key"] == sent[1]["Idempotency-Key"] == CONTEXT.idempotency_key
    assert replace(CONTEXT, instance="other").idempotency_key != CONTEXT.idempotency_key
    assert "Idempotency-Key" not in ask("post", url=f"{server}/echo").output["json"]["headers"]


def test_many_requests_share_the_connections_of_their_loop(server):
    async def scenario() -> list[int]:
        results = await asyncio.gather(*(asking("get", url=f"{server}/text") for _ in range(50)))
        await close_client()
        return [result.output["status_code"] for result in results]

    assert asyncio.run(scenario()) == [200] * 50


@pytest.mark.parametrize(
    ("action", "parameters", "message"),
    [
        ("get", {"url": "file:///etc/passwd"}, "it is http:// or https://"),
        ("get", {"url": "gopher://x"}, "it is http:// or https://"),
        ("get", {"url": "/relative"}, "it is http:// or https://"),
        ("get", {"url": "http://"}, "it is http:// or https://"),
        ("get", {"url": "http://x:99999999"}, "a port up to 65535"),
        ("get", {"url": "http://x\r\nA: b"}, "parameter 'url'"),
        ("get", {"url": "http://x", "headers": {"A": "b\r\nC: d"}}, "header 'A' has a line break"),
        ("get", {"url": "http://x", "headers": {"A\n": "b"}}, "has a line break"),
        ("get", {"url": "http://x", "query": {"a": {"b": 1}}}, "query parameter 'a' is nested"),
        ("request", {"url": "http://x", "method": "GET /\r\n"}, "parameter 'method'"),
        ("request", {"url": "http://x", "method": "CONNECT"}, "parameter 'method'"),
        ("post", {"url": "http://x", "json": {}, "body": "x"}, "one body"),
        ("post", {"url": "http://x", "json": float("nan")}, "cannot be written as JSON"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_it_is(action, parameters, message):
    with pytest.raises(ParametersInvalid, match=message):
        ask(action, **parameters)
