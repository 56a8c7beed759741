"""The page on providers says what the code does: its tables name exactly what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from orchestrator_client.contract import caps, catalog
from orchestrator_client.contract.errors import FailureKind
from orchestrator_client.contract.project import ProviderKind, ProviderSection
from orchestrator_worker import scripts
from orchestrator_worker.providers import failures, http
from orchestrator_worker.providers.anthropic import client as anthropic_client
from orchestrator_worker.providers.anthropic.parameters import DEFAULT_MAX_TOKENS, LEAST_THOUGHT_TOKENS
from orchestrator_worker.providers.base import ModelRequest
from orchestrator_worker.providers.google import client as google_client
from orchestrator_worker.providers.openai import client as openai_client

PAGE = (Path(__file__).parents[2] / "docs/providers.md").read_text(encoding="utf-8")
GATES = (Path(scripts.__file__).parent / "gates.lua").read_text(encoding="utf-8")


def rows(first_cell: str) -> list[list[str]]:
    """The rows of the one table whose header begins with this cell, header included."""
    [table] = re.findall(rf"^\| ?{re.escape(first_cell)} \|.*\n(?:\|.*\n)+", PAGE, re.MULTILINE)
    lines = [line for line in table.splitlines() if not line.startswith("|-")]
    return [[cell.strip() for cell in line.removeprefix("|").removesuffix("|").split("|")] for line in lines]


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


FAILURES = {names_in(kind)[0]: cells for kind, *cells in rows("kind")[1:]}
"""Kind -> what happened, whether it is tried again, whether that costs an attempt, what the gate makes of it."""


class TestFailures:
    def test_the_table_names_every_kind_once_and_in_order(self) -> None:
        assert [names_in(kind) for kind, *_ in rows("kind")[1:]] == [[kind] for kind in FailureKind]

    @pytest.mark.parametrize("kind", FailureKind)
    def test_the_gate_does_what_is_said(self, kind: FailureKind) -> None:
        unanswered = re.search(r"local UNANSWERED = \{([^}]*)\}", GATES)
        assert unanswered is not None
        counted = re.findall(r"(\w+) = true", unanswered[1])
        expected = (
            "closes"
            if kind.weather
            else "counts"
            if kind in counted
            else "is not told"
            if kind is FailureKind.UNSENT
            else "goes on"
        )
        assert FAILURES[kind][3] == expected

    @pytest.mark.parametrize("kind", FailureKind)
    def test_weather_alone_uses_up_no_attempt(self, kind: FailureKind) -> None:
        assert FAILURES[kind][2] == ("no" if kind.weather else "yes")

    @pytest.mark.parametrize("status", [*range(400, 430), 451, 500, 501, 502, 503, 504, 520, 529])
    def test_a_status_has_the_kind_that_is_said(self, status: int) -> None:
        refused = failures.Failures("p", "KEY", "").refused(status, "", "no", {})
        stated = {kind for kind, (what, *_) in FAILURES.items() if re.search(rf"(?<!also with )\b{status}\b", what)}
        other = "server" if status >= 500 else "bad_request"
        assert {refused.kind.value} == (stated or {other})
        assert refused.retryable is FAILURES[refused.kind][1].startswith("yes")

    @pytest.mark.parametrize(
        ("said", "is_so"),
        [
            (
                "five such failures in a row close the gate for 30 s",
                "FAILURES_IN_A_ROW, CIRCUIT_MS = 5, 30000" in GATES,
            ),
            ("doubled with each refusal in a row up to 60 s", "LONGEST_STORM_MS = 60000" in GATES),
            (f"come back {caps.WEATHERS:,} times", True),
            ("three by default", catalog.ATTEMPTS_IF_REPEATABLE == 3),
            ("One over an hour counts as an hour", failures.RETRY_AFTER_CAP_SECONDS == 3600),
            (f"not reached within {http.CONNECT_SECONDS:g} s", True),
            (f"over {http.BODY_CAP_BYTES >> 20} MiB", True),
            (f"sent; {DEFAULT_MAX_TOKENS} where the step sets none", True),
            (f"under {LEAST_THOUGHT_TOKENS} tokens", True),
            (f"before {anthropic_client.UNSAMPLED_SINCE}", True),
        ],
    )
    def test_numbers(self, said: str, is_so: bool) -> None:
        assert said in " ".join(PAGE.split())
        assert is_so


class TestConfiguration:
    def test_every_kind_of_provider_has_a_column(self) -> None:
        columns = rows("")[0][1:]
        assert sorted(names_in(" ".join(columns))) == sorted(ProviderKind)

    @pytest.mark.parametrize(
        ("row", "column", "variables"),
        [
            (2, 1, openai_client.OpenAI.key_variables),
            (2, 2, anthropic_client.Anthropic.key_variables),
            (2, 3, google_client.Google.key_variables),
            (3, 1, (openai_client.URL_VARIABLE,)),
            (3, 2, (anthropic_client.URL_VARIABLE,)),
            (3, 3, (google_client.URL_VARIABLE,)),
        ],
    )
    def test_variables(self, row: int, column: int, variables: tuple[str, ...]) -> None:
        cell = rows("")[row][column]
        assert [name for name in names_in(cell) if name.isupper()] == list(variables)

    def test_keys_of_a_section(self) -> None:
        assert [names_in(key) for key, _ in rows("key of `[providers.<name>]`")[1:]] == [
            [name] for name in ProviderSection.model_fields
        ]


class TestRequest:
    def test_every_field_has_a_row(self) -> None:
        named = [name for row in rows("of the request")[1:] for name in names_in(row[0])]
        assert named == [field.name for field in fields(ModelRequest)]
