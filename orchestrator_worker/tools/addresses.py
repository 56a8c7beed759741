"""Confinement: an address that a plan names is public, or one that the fleet allows.

What is checked is what a name resolves to, not how it is written: `http://2130706433`, `0x7f.1` and a name of somebody
else's that leads to 127.0.0.1 are all that one address. `Checked` resolves once and connects to what it has checked, so
that no second answer of a name server comes between; a redirect is another connection, checked like the first.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore2

from orchestrator_client.contract.errors import ToolFailed
from orchestrator_worker.tools.base import Reach

Address = IPv4Address | IPv6Address

_NO_ONES = tuple(
    map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "64:ff9b:1::/48", "100::/64", "5f00::/16"))
)
"""Not public, though Python says so of some: relays, site-local, local translation, discard, segment routing."""
_TRANSLATED = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")

PATIENCE_SECONDS = 3.0
"""For each address of a name but the last: one that does not answer must not eat the time of those that would."""

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""All addresses of a name, as texts."""


class AddressRefused(ToolFailed):
    """The address is none that the tool may reach; asking again would meet the same refusal."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)
        self.args = (message,)


def is_public(address: Address) -> bool:
    """Whether an address is anybody's: not private, local, shared, reserved or multicast, also in another's clothes."""
    if isinstance(address, IPv6Address):
        inner = list(_carried_by(address))
        if inner:
            return all(map(is_public, inner))
    of_nobody = any(address in network for network in _NO_ONES if network.version == address.version)
    return address.is_global and not (address.is_multicast or address.is_reserved or of_nobody)


def _carried_by(address: IPv6Address) -> Iterable[IPv4Address]:
    """The IPv4 addresses that an IPv6 one stands for: mapped, compatible, translated (NAT64), 6to4, Teredo."""
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 0xFFFF):
        yield IPv4Address(int(address) & 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One entry of the fleet's list: `host`, `host:port`, `*.domain`, an address or a network."""

    host: str
    port: int | None

    @classmethod
    def of(cls, written: str) -> _Allowed:
        host, _, port = written.strip().rpartition(":")
        if not port.isdigit() or (host.count(":") and not host.endswith("]")):
            host, port = written.strip(), ""
        return cls(host.strip("[]").rstrip(".").lower(), int(port) if port else None)

    def fits(self, host: str, port: int, address: Address) -> bool:
        if self.port is not None and self.port != port:
            return False
        if fnmatchcase(host, self.host):
            return True
        network = _network(self.host)
        return network is not None and network.version == address.version and address in network


def _network(written: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(written, strict=False)
    except ValueError:
        return None


def permitted(host: str, port: int, addresses: Iterable[str], reach: Reach) -> list[str]:
    """Of what a name resolves to, what may be connected to.

    Raises:
        AddressRefused: nothing of it.
    """
    name = host.rstrip(".").lower()
    allowed = [_Allowed.of(entry) for entry in reach.allow]
    found = [ip_address(text.partition("%")[0]) for text in addresses]
    may = [a for a in found if reach.everything or is_public(a) or any(entry.fits(name, port, a) for entry in allowed)]
    if not may:
        leads = "" if not found or name == str(found[0]) else f", which is {found[0]},"
        raise AddressRefused(
            f"address {host}:{port}{leads} is not public; allow it with allow_hosts in [tools] of orchestrator.toml or "
            "ORCHESTRATOR_ALLOW_HOSTS on the worker"
        )
    return [str(a) for a in may]


async def resolved(host: str, port: int) -> list[str]:
    """What the system's resolver says, each address once.

    Raises:
        httpcore2.ConnectError: the name is nobody's.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class Checked(httpcore2.AsyncNetworkBackend):
    """Connections to checked addresses only. TLS goes by the name all the same: its caller says it."""

    def __init__(self, reach: Reach, resolver: Resolver = resolved) -> None:
        self._reach, self._resolver, self._inner = reach, resolver, httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        *others, last = permitted(host, port, await self._resolver(host, port), self._reach)
        for address in others:
            try:
                return await self._inner.connect_tcp(
                    address, port, min(timeout or PATIENCE_SECONDS, PATIENCE_SECONDS), local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue  # a host may have addresses that are not reachable from here; the last one's error is told
        return await self._inner.connect_tcp(last, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        raise AddressRefused(f"{path} is a socket of this machine, which no plan may reach")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
