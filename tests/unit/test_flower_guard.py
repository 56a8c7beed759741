"""By which names and from which addresses a caller counts as being on this machine."""

from __future__ import annotations

import json

import pytest

from orchestrator_client.flower.guard import host_name, hosts_of, is_loopback, json_of


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_loopback(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address", ["", "0.0.0.0", "10.0.0.1", "::", "fe80::1%eth0", "::ffff:10.0.0.1", "localhost", "127.0.0.1.evil"]
)
def test_not_loopback(address: str) -> None:
    assert not is_loopback(address)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost", "localhost"),
        ("LOCALHOST:5555", "localhost"),
        ("[::1]:5555", "::1"),
        ("127.0.0.1:80", "127.0.0.1"),
        ("evil@localhost", "localhost"),
        ("", ""),
        ("[::1", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_name(header) == name


def test_configured_hosts_are_added_to_those_of_the_machine() -> None:
    assert hosts_of(" Ops.Example , [::2]") == {"localhost", "127.0.0.1", "::1", "ops.example", "::2"}


def test_json_in_a_page_ends_no_script_and_has_no_credential() -> None:
    text = json_of({"a": "</script><!--", "key": "sk-abcdefghij0123456789abcdef"})
    assert "<" not in text
    assert json.loads(text) == {"a": "</script><!--", "key": "sk-a…"}
