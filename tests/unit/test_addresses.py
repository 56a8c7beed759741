"""Addresses that tools may reach: every way to write a private one, redirects, and names that change their answer."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.parse import unquote

import pytest

from orchestrator_client.contract.errors import StepError
from orchestrator_worker.tools.addresses import AddressRefused, is_public, permitted
from orchestrator_worker.tools.base import Reach, ToolContext, ToolResult
from orchestrator_worker.tools.http import close_client
from orchestrator_worker.tools.registry import invoke

PUBLIC = "93.184.216.34"

PRIVATE = """
    0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.8.8.8 169.254.169.254 172.16.0.1 192.0.0.8 192.0.2.1 192.88.99.1
    192.168.0.1 198.18.0.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255
    :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe
    64:ff9b:1::1 2002:7f00:1:: 2002:a9fe:a9fe:: 2001:0:7f00:1:: 100::1 fc00::1 fd00:ec2::254 fe80::1 fec0::1 ff02::1
    2001:db8::1 5f00::1
"""


NETWORKS = """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24
    192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    64:ff9b:1::/48 100::/64 2001:db8::/32 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
"""
"""What IANA's registries of special addresses keep from the public, of both families."""

EDGES = sorted({str(edge) for network in map(ip_network, NETWORKS.split()) for edge in (network[0], network[-1])})

JUST_OUTSIDE = """
    9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0
    172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
"""

WITHIN = """
    127.0.0.2 10.1.2.3 172.16.0.1 172.31.255.254 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.1 224.0.0.251
    255.255.255.254
"""


def carriers(address: str) -> list[str]:
    """All IPv6 addresses that lead to an IPv4 one: mapped, compatible, translated, 6to4, Teredo's server and client."""
    number = int(ip_address(address))
    hidden = number ^ 0xFFFFFFFF
    words, inverted = (f"{each >> 16:x}:{each & 0xFFFF:x}" for each in (number, hidden))
    plain = [f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}", f"2002:{words}::1"]
    return [*plain, f"2001:0:{words}::1", f"2001:0:5db8:d822::{inverted}"]


CARRIED = [carrier for address in WITHIN.split() for carrier in carriers(address)]


class Handler(BaseHTTPRequestHandler):
    """Sends whoever asks for `/to?<address>` there; anything else it counts."""

    reached: list[str]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests speak for themselves."""

    def do_GET(self) -> None:
        type(self).reached.append(self.path)
        path, _, target = self.path.partition("?")
        self.send_response(302 if path == "/to" else 200)
        self.send_header("Location", unquote(target))
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def server() -> Iterator[tuple[int, list[str]]]:
    Handler.reached = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.02,), daemon=True).start()
        yield listening.server_port, Handler.reached
        listening.shutdown()


def get(url: str, *allow: str) -> ToolResult:
    context = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"), reach=Reach(allow))

    async def scenario() -> ToolResult:
        called = invoke("http.get", {"url": url, "timeout": 10}, context)
        assert not isinstance(called, ToolResult)
        try:
            return await called
        finally:
            await close_client()

    return asyncio.run(scenario())


@pytest.mark.parametrize("address", PRIVATE.split())
def test_what_is_nobodys_or_somebodys_own_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", EDGES)
def test_a_network_is_refused_from_its_first_address_to_its_last(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", CARRIED)
def test_so_is_one_that_carries_another(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", JUST_OUTSIDE.split())
def test_what_lies_beside_a_network_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_what_anybody_may_reach_is_public(address: str) -> None:
    assert is_public(ip_address(address))


LOOPBACK = """
    127.0.0.1 127.0.1 127.1 127.255.255.254 0x7f.1 0x7f.0x1 0x7f.0.0.1 127.0x1 2130706433 2130706434 0x7f000001
    0x7F000001 localhost LOCALHOST LocalHost 0 00 0x0 0.0 0.0.0 0.0.0.0 a:b@127.0.0.1 x.org@127.0.0.1 a@localhost
"""


@pytest.mark.parametrize("host", LOOPBACK.split())
def test_this_machine_is_refused_however_it_is_written(server: tuple[int, list[str]], host: str) -> None:
    with pytest.raises(AddressRefused, match=r"is not public; allow it with allow_hosts in \[tools\]"):
        get(f"http://{host}:{server[0]}/")
    assert server[1] == []


OTHER_FAMILY = """
    [::1] [0:0:0:0:0:0:0:1] [0:0::0:1] [::] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:0:127.0.0.1]
    [64:ff9b::7f00:1] [2002:7f00:1::]
"""


@pytest.mark.parametrize("host", OTHER_FAMILY.split())
def test_so_is_its_other_family(host: str) -> None:
    with pytest.raises(AddressRefused, match="is not public"):
        get(f"http://{host}:1/")


SPELLINGS = r"""
    localhost. 127.0.0.1. 0x7f000001. 0177.0.0.1 0177.1 017700000001 127.0.0.01 0300.0250.1 １２７.0.0.1 127。0。0。1
    ①②⑦.⓪.⓪.① x.org\@127.0.0.1 %6c%6f%63alhost 127%2e0%2e0%2e1 localhost%00.example.org [::ffff:0x7f000001]
    [fe80::1%25lo]
"""


@pytest.mark.parametrize("host", SPELLINGS.split())
def test_other_spellings_lead_nowhere(server: tuple[int, list[str]], host: str) -> None:
    """Whether the address is refused, or the name is nobody's, or no name, is up to the system's resolver."""
    with pytest.raises(StepError):
        get(f"http://{host}:{server[0]}/")
    assert server[1] == []


def test_the_metadata_service_is_refused() -> None:
    with pytest.raises(AddressRefused, match=r"169\.254\.169\.254:80 is not public"):
        get("http://169.254.169.254/latest/meta-data/")


TARGETS = """
    http://127.0.0.1:{port}/in HTTP://127.0.0.1:{port}/in https://127.0.0.1:{port}/in //127.0.0.1:{port}/in
    http://127.1:{port}/in http://0x7f.1:{port}/in http://2130706433:{port}/in http://0:{port}/in
    http://a:b@127.0.0.1:{port}/in http://[::1]:{port}/in http://[::ffff:127.0.0.1]:{port}/in
    http://[64:ff9b::7f00:1]:{port}/in http://10.0.0.1/in http://169.254.169.254/in
"""


@pytest.mark.parametrize("target", TARGETS.split())
def test_a_redirect_is_another_address(server: tuple[int, list[str]], target: str) -> None:
    port, reached = server
    with pytest.raises(AddressRefused, match="is not public"):
        # The first host is allowed by its name, which the one that it leads to does not have.
        get(f"http://localhost:{port}/to?{target.format(port=port)}", "localhost")
    assert [path.partition("?")[0] for path in reached] == ["/to"]


def test_a_name_that_changes_its_answer_is_asked_once(
    server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, reached = server
    asked = []

    def answers(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        address = PUBLIC if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    # No test reaches the public address: `tests/conftest.py` stops it where it connects, and says where that is.
    with pytest.raises(ExceptionGroup) as stopped:
        get(f"http://rebound.example:{port}/")
    assert f"a test reached for ('{PUBLIC}', {port})" in str(stopped.value.exceptions)
    assert (asked, reached) == (["rebound.example"], [])


def test_a_name_that_leads_within_is_refused(server: tuple[int, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 1)) for address in ("10.0.0.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(AddressRefused, match=r"inside\.example:\d+, which is 10\.0\.0\.1, is not public"):
        get(f"http://inside.example:{server[0]}/")
    assert server[1] == []


@pytest.mark.parametrize("allow", ["127.0.0.1:{port}", "127.0.0.1", "127.0.0.0/8", "*", "localhost:{port}"])
def test_the_fleet_may_allow_it(server: tuple[int, list[str]], allow: str) -> None:
    port, reached = server
    host = "localhost" if "localhost" in allow else "127.0.0.1"
    assert get(f"http://{host}:{port}/in", allow.format(port=port)).success
    assert reached == ["/in"]


@pytest.mark.parametrize("allow", ["127.0.0.1:1", "127.0.0.2", "10.0.0.0/8", "*.internal.example", ""])
def test_but_only_what_it_says(server: tuple[int, list[str]], allow: str) -> None:
    with pytest.raises(AddressRefused):
        get(f"http://127.0.0.1:{server[0]}/in", allow)


def test_of_several_addresses_those_that_are_public_are_left() -> None:
    assert permitted("both.example", 80, ["10.0.0.1", PUBLIC, "::1"], Reach()) == [PUBLIC]
    assert permitted("a.internal.example", 80, ["10.0.0.1"], Reach(("*.internal.example",))) == ["10.0.0.1"]
    assert permitted("::1", 80, ["::1"], Reach(("[::1]:80",))) == ["::1"]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://example.org/", "//example.org/"])
def test_other_schemes_are_none_of_its_business(url: str) -> None:
    with pytest.raises(Exception, match="it is http:// or https://"):
        get(url)
