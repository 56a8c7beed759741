"""What a model is shown: where it is read from, what type it has, and what is refused."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract.errors import ParametersInvalid, StepError
from orchestrator_worker.providers.base import Media
from orchestrator_worker.steps import media as media_module
from orchestrator_worker.steps.media import media_of
from tests.unit.asking import context

PNG = b"\x89PNG"
DATA = base64.b64encode(PNG).decode()


def media(given: Any, folder: Path = Path("/nowhere"), default_type: str = "image/png") -> Media:
    return media_of(given, context(folder), default_type)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/a.jpg").write_bytes(PNG)
    (tmp_path / "inside/plain").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "media_type", "name"),
    [
        ("a.jpg", "image/jpeg", "a.jpg"),
        ("plain", "image/png", "plain"),
        ({"path": "a.jpg"}, "image/jpeg", "a.jpg"),
        ({"path": "a.jpg", "media_type": "image/x-odd"}, "image/x-odd", "a.jpg"),
    ],
)
def test_a_file_of_the_runs_folder(folder: Path, given: Any, media_type: str, name: str) -> None:
    assert media(given, folder / "inside") == Media(media_type, PNG, name=name)


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "link.png", "missing.png", ".", "\x00", "fifo"])
def test_what_may_not_be_read_or_is_not_there_is_refused(folder: Path, path: str) -> None:
    inside = folder / "inside"
    (inside / "link.png").symlink_to(folder / "secret.png")
    os.mkfifo(inside / "fifo")
    with pytest.raises(StepError) as caught:
        media(path, inside)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("given", "media_type", "name"),
    [
        ("https://example.org/a.jpg?size=2", "image/jpeg", "a.jpg"),
        ("http://example.org/a", "image/png", "a"),
        ("gs://bucket/a.webp", "image/webp", "a.webp"),
        ({"url": "https://example.org/a", "media_type": "image/gif"}, "image/gif", "a"),
    ],
)
def test_an_address_is_handed_on_unread(given: Any, media_type: str, name: str) -> None:
    address = given if isinstance(given, str) else given["url"]
    assert media(given) == Media(media_type, url=address, name=name)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (f"data:image/gif;base64,{DATA}", Media("image/gif", PNG)),
        (f"data:;base64,{DATA}", Media("image/png", PNG)),
        (f"data:text/plain;charset=utf-8;base64,{DATA}", Media("text/plain", PNG)),
        ({"url": f"data:image/gif;base64,{DATA}", "media_type": "image/x-odd"}, Media("image/x-odd", PNG)),
        ({"data": DATA, "media_type": "image/gif", "name": "a.gif"}, Media("image/gif", PNG, name="a.gif")),
        ({"data": DATA}, Media("image/png", PNG)),
    ],
)
def test_what_stands_there_in_full(given: Any, expected: Media) -> None:
    assert media(given) == expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("data:text/plain,hello", "is not base64"),
        ("data:image/png;base64,###", "not base64"),
        ({"data": "###"}, "not base64"),
        ({}, "path, a URL"),
        ({"url": 7}, "path, a URL"),
        (7, "is int"),
        (None, "is NoneType"),
        ([DATA], "is list"),
    ],
)
def test_what_is_no_medium(given: Any, said: str) -> None:
    with pytest.raises(ParametersInvalid, match=said):
        media(given)


def test_what_no_provider_takes_is_too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_module, "MEDIA_BYTES", len(PNG))
    assert media("a.jpg", folder / "inside").data == PNG
    assert media({"data": DATA}).data == PNG
    (folder / "inside/a.jpg").write_bytes(PNG + b"!")
    for too_large in ("a.jpg", {"data": base64.b64encode(PNG + b"!").decode()}):
        with pytest.raises(ParametersInvalid, match="larger than 4 bytes"):
            media(too_large, folder / "inside")


@settings(max_examples=100)
@given(st.binary(max_size=50))
def test_bytes_arrive_as_they_were(data: bytes) -> None:
    assert media({"data": base64.b64encode(data).decode()}).data == data
