"""Text, inputs and results of the command line."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import click
import pytest

from orchestrator_client.cli.inputs import read_inputs, value_of
from orchestrator_client.cli.show import output
from orchestrator_client.cli.show.text import json_text, one_line, plural, printable, printable_lines, seconds, shown
from orchestrator_client.contract.plan import Input, InputType


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain – ünïcode 漢字 🙂", "plain – ünïcode 漢字 🙂"),
        ("1\u00a0000", "1\u00a0000"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\x9b\x7f\u202e\u200b\ud800", r"a\x9b\x7f\u202e\u200b\ud800"),
        ("line\u2028feed\n", r"line\u2028feed\n"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_lines_stay_lines() -> None:
    assert printable_lines("a\x1b\nb\r") == "a\\x1b\nb\\r"
    assert one_line(" a\n\tb  c ") == "a b c"
    assert one_line("abcdef", 4) == "abc…"


def test_values_are_shown_as_text_or_json() -> None:
    assert shown("a\nb") == "a b"
    assert shown({"k": [1, None, "ü"]}) == '{"k": [1, null, "ü"]}'
    assert len(shown("x" * 1000)) == 160


@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_the_same_value_and_safe_to_show(indent: int | None) -> None:
    value = {"k\x9b": ["\x7f\u202e", "漢字", "\ud800", "\U000e0001", {}]}
    text = json_text(value, indent)
    assert json.loads(text) == value
    assert all(line.isprintable() for line in text.split("\n"))
    assert "漢字" in text


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(0.123, "0.12 s"), (12.34, "12.3 s"), (125, "2 min 05 s"), (3720, "1 h 02 min"), (-1, "0.00 s")],
)
def test_seconds(duration: float, expected: str) -> None:
    assert seconds(duration) == expected


def test_plural() -> None:
    assert (plural(1, "step"), plural(0, "step"), plural(1234, "step")) == ("1 step", "0 steps", "1,234 steps")


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("3", None, 3),
        ('{"a": [1]}', None, {"a": [1]}),
        ("007", None, "007"),
        ("NaN", None, "NaN"),
        ("", None, ""),
        ("[" * 100_000, None, "[" * 100_000),
        ("1.10", InputType.STRING, "1.10"),
        ("true", InputType.STRING, "true"),
        ('"quoted"', InputType.STRING, "quoted"),
        ("1.10", InputType.NUMBER, 1.1),
    ],
)
def test_a_value_is_json_or_text(text: str, kind: InputType | None, expected: Any) -> None:
    assert value_of(text, Input(type=kind) if kind else None) == expected


def test_a_pair_goes_before_the_file(tmp_path: Path) -> None:
    context = tmp_path / "context.json"
    context.write_text('{"a": 1, "b": 2}')
    assert read_inputs({}, context, ["b=3", "c=x=y"]) == {"a": 1, "b": 3, "c": "x=y"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n?}', ":2:1  not JSON"),
        (b"[1]", "expected an object"),
        (b"\xff\xfe", "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_context_that_cannot_be_used_is_refused_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    context = tmp_path / "context.json"
    context.write_bytes(content)
    with pytest.raises(click.BadParameter) as refused:
        read_inputs({}, context, [])
    assert message in refused.value.message
    assert str(context) in refused.value.message


@pytest.mark.parametrize("pair", ["novalue", "=x"])
def test_a_pair_without_a_name_is_refused(pair: str) -> None:
    with pytest.raises(click.BadParameter, match="expected key=value"):
        read_inputs({}, None, [pair])


def test_a_result_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("before")
    inode = target.stat().st_ino
    output.write({"text": "ü\ud800\x9b"}, str(target))
    assert json.loads(target.read_text("utf-8")) == {"text": "ü\ud800\x9b"}
    assert target.stat().st_ino != inode
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_link_keeps_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real").write_text("before")
    output.write(1, str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "1\n"


def test_a_device_is_written_to_and_not_replaced() -> None:
    output.write(1, "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_result_that_cannot_be_written_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "out.json" / "inner").mkdir(parents=True)
    with pytest.raises(OSError, match=r"out\.json"):
        output.write(1, str(tmp_path / "out.json"))
    assert os.listdir(tmp_path) == ["out.json"]
