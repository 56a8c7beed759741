"""What every provider makes of a refusal: its kind, whether to try again and when, and that no key is in it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from email.utils import formatdate
from time import time

import pytest

from orchestrator_client.contract.errors import CredentialMissing, FailureKind
from tests.conformance.adapter import Adapter
from tests.conformance.caller import KEY
from tests.conformance.caller import SuiteCaller as Caller
from tests.conformance.model_server import Answer, html

Answers = Callable[[Adapter], Answer]

REFUSALS: dict[str, tuple[Answers, FailureKind, bool, float | None, str]] = {
    "400": (lambda a: a.error(400, "no such parameter"), FailureKind.BAD_REQUEST, False, None, "no such parameter"),
    "401": (lambda a: a.error(401, "Incorrect API key provided"), FailureKind.AUTH, False, None, "on the workers"),
    "402": (lambda a: a.error(402, "pay"), FailureKind.QUOTA, False, None, "pay"),
    "403": (lambda a: a.error(403, "not in your country"), FailureKind.AUTH, False, None, "on the workers"),
    "404": (lambda a: a.error(404, "no such model"), FailureKind.BAD_REQUEST, False, None, "check the step's model"),
    "408": (lambda a: a.error(408, "too slow"), FailureKind.TIMEOUT, True, None, "too slow"),
    "409": (lambda a: a.error(409, "locked"), FailureKind.SERVER, True, None, "locked"),
    "413": (lambda a: a.error(413, "too long"), FailureKind.CONTEXT_LENGTH, False, None, "too long"),
    "422": (lambda a: a.error(422, "unfit"), FailureKind.BAD_REQUEST, False, None, "unfit"),
    "429": (lambda a: a.error(429, "slow down"), FailureKind.RATE_LIMIT, True, None, "limits the rate"),
    "429 with seconds": (
        lambda a: a.error(429, headers={"retry-after": "17"}),
        FailureKind.RATE_LIMIT,
        True,
        17.0,
        "429",
    ),
    "429 with milliseconds": (
        lambda a: a.error(429, headers={"retry-after-ms": "1500", "retry-after": "2"}),
        FailureKind.RATE_LIMIT,
        True,
        1.5,
        "429",
    ),
    "429 with too long a wait": (
        lambda a: a.error(429, headers={"retry-after": "1e9"}),
        FailureKind.RATE_LIMIT,
        True,
        3600.0,
        "429",
    ),
    "429 with a negative wait": (
        lambda a: a.error(429, headers={"retry-after": "-5"}),
        FailureKind.RATE_LIMIT,
        True,
        None,
        "429",
    ),
    "429 with nonsense": (
        lambda a: a.error(429, headers={"retry-after": "soon"}),
        FailureKind.RATE_LIMIT,
        True,
        None,
        "429",
    ),
    "429 with nan": (lambda a: a.error(429, headers={"retry-after": "nan"}), FailureKind.RATE_LIMIT, True, None, "429"),
    "429 quota": (lambda a: a.quota_used_up(), FailureKind.QUOTA, False, None, "quota is used up"),
    "500": (lambda a: a.error(500, "oops"), FailureKind.SERVER, True, None, "oops"),
    "503 with seconds": (lambda a: a.error(503, headers={"retry-after": "3"}), FailureKind.OVERLOAD, True, 3.0, "503"),
    "503 in HTML": (lambda a: html(503), FailureKind.OVERLOAD, True, None, "Sign in to the proxy"),
    "529": (lambda a: a.error(529, "overloaded"), FailureKind.OVERLOAD, True, None, "overloaded"),
    "302": (lambda a: Answer(302), FailureKind.BAD_REQUEST, False, None, "302"),
    "overloaded": (lambda a: a.overloaded(), FailureKind.OVERLOAD, True, None, ""),
    "no room": (
        lambda a: a.error(400, "the request exceeds the available context size, try increasing it"),
        FailureKind.CONTEXT_LENGTH,
        False,
        None,
        "available context size",
    ),
    "too long": (lambda a: a.too_long(), FailureKind.CONTEXT_LENGTH, False, None, ""),
}


class TestRefusal:
    @pytest.mark.parametrize("refusal", list(REFUSALS))
    def test_is_told_apart(self, call: Caller, refusal: str) -> None:
        answer, kind, retryable, wait, text = REFUSALS[refusal]
        call.server.script(answer(call.adapter))
        error = call.failed()
        assert text in str(error)
        assert (error.kind, error.retryable, error.retry_after_seconds) == (kind, retryable, wait)
        assert call.adapter.name in str(error)

    @pytest.mark.parametrize("refusal", list(REFUSALS))
    def test_is_told_apart_where_a_stream_was_asked_for(self, call: Caller, refusal: str) -> None:
        answer, kind, retryable, wait, text = REFUSALS[refusal]
        call.server.script(answer(call.adapter))
        error, pieces = call.broke_off()
        assert text in str(error)
        assert (error.kind, error.retryable, error.retry_after_seconds) == (kind, retryable, wait)
        assert pieces == []

    def test_names_the_variable_of_a_refused_key(self, call: Caller) -> None:
        call.server.script(call.adapter.error(401))
        assert call.adapter.key_variable in str(call.failed())

    def test_a_date_to_wait_for(self, call: Caller) -> None:
        began = time()
        call.server.script(call.adapter.error(429, headers={"retry-after": formatdate(began + 120, usegmt=True)}))
        wait = call.failed().retry_after_seconds
        assert wait is not None
        assert began + 119 - time() <= wait <= 120, "a date is told to the second, and the call took its time"

    def test_nothing_is_tried_twice(self, call: Caller) -> None:
        call.server.script(*(call.adapter.error(500) for _ in range(3)))
        call.failed()
        assert len(call.server.requests) == 1


class TestKey:
    @pytest.mark.parametrize("key", [None, "", "  ", "sk-test\n", "sk-\r\nx: y", " sk-test", "sk-tést"])
    def test_that_is_none_is_missing(self, call: Caller, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
        monkeypatch.delenv(call.adapter.key_variable)
        if key is not None:
            monkeypatch.setenv(call.adapter.key_variable, key)
        with pytest.raises(CredentialMissing, match=call.adapter.key_variable):
            call()
        assert call.server.requests == []

    @pytest.mark.parametrize(
        "answer",
        [
            lambda a: a.error(401, f"Incorrect API key provided: {KEY}"),
            lambda a: a.error(500, f"header was Bearer {KEY}"),
            lambda a: Answer(502, f"<p>{KEY}</p>".encode(), content_type="text/html"),
            lambda a: Answer(body=f"not JSON {KEY}".encode()),
            lambda a: a.refusal(f"I will not say {KEY}"),
        ],
    )
    def test_is_in_no_error(self, call: Caller, answer: Answers) -> None:
        call.server.script(answer(call.adapter))
        error = call.failed()
        assert KEY not in str(error) + repr(error)
        assert KEY.encode() not in pickle.dumps(error)

    def test_is_in_no_representation(self, call: Caller) -> None:
        assert KEY not in repr(call.adapter.provider(call.server.root))


class TestPickling:
    @pytest.mark.parametrize("refusal", list(REFUSALS))
    def test_every_refusal(self, call: Caller, refusal: str) -> None:
        call.server.script(REFUSALS[refusal][0](call.adapter))
        error = call.failed()
        again = pickle.loads(pickle.dumps(error))
        for field in ("message", "retryable", "retry_after_seconds", "kind", "limits"):
            assert getattr(again, field) == getattr(error, field)
