"""Model steps: each attempt is one call of one model, which its gate has let through."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator_client.contract.catalog.models import GenerateParameters
from orchestrator_client.contract.errors import (
    BudgetExceeded,
    CredentialMissing,
    FailureKind,
    ModelFailed,
    OrchestratorError,
    ParametersInvalid,
    StepTimeout,
)
from orchestrator_client.contract.models import AUTO, bare_name, provider_of, qualified
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.pricing import Prices
from orchestrator_client.contract.project import Project
from orchestrator_client.contract.usage import NO_USAGE
from orchestrator_worker.limits import (
    CACHE_SECONDS,
    LONGEST_CACHE_SECONDS,
    LONGEST_REPLY_TOKENS,
    Prepared,
    digest_of,
    input_tokens,
)
from orchestrator_worker.providers.base import (
    Media,
    ModelReply,
    ModelRequest,
    OnText,
    Provider,
    ToolCall,
    ToolOffer,
)
from orchestrator_worker.records import NOTHING_SENT, Report
from orchestrator_worker.selection import Need, choose
from orchestrator_worker.steps.answer import Answered, report_of
from orchestrator_worker.steps.base import Call, Fail, Readmit, Want
from orchestrator_worker.steps.conversation import Memo
from orchestrator_worker.steps.offers import offers_of
from orchestrator_worker.steps.request import messages_of, parameters_of
from orchestrator_worker.steps.schema import AnswerSchema, schema_of
from orchestrator_worker.tools.base import ToolContext

DEFAULT_TIMEOUT_SECONDS = 600.0
"""For a step that states none: what the SDKs give a call."""

PROVIDER_GRACE_SECONDS = 5.0
"""By which a provider's deadline lies behind the step's, so that a late step always fails as one."""

Run = Callable[[Coroutine[Any, Any, ModelReply], float], ModelReply]
"""`run(coroutine, seconds)` runs it on the worker's loop; cancels it and raises StepTimeout when the time is up."""


@dataclass(frozen=True, slots=True)
class _Planned:
    """A step's next call, worked out."""

    parameters: GenerateParameters
    memo: Memo
    prepared: Prepared
    offers: dict[str, tuple[str, ToolOffer]]
    schema: AnswerSchema | None


class ModelStep:
    """Performs model steps.

    `run` is the worker's loop; `provider` gives a provider by name, and raises ParametersInvalid for one it lacks;
    `context` says where the files of a call's run are; `describe` says what a call asks of its gate; `cached` reads
    the cache; `default_model` is for steps that name none.
    """

    def __init__(
        self,
        run: Run,
        provider: Callable[[str], Provider],
        project: Project,
        prices: Prices,
        context: Callable[[Call], ToolContext],
        describe: Callable[[Prepared, Call], str],
        cached: Callable[[str], Json],
        default_model: str | None = None,
    ) -> None:
        self._run, self._provider, self._project, self._prices = run, provider, project, prices
        self._context, self._describe, self._cached = context, describe, cached
        self._default_model = default_model or project.default_model or ""

    def prepare(self, call: Call) -> Prepared:
        """What the next attempt at the step will ask, and of whom.

        Raises:
            ParametersInvalid: a parameter does not fit, or no model is known.
        """
        return self._planned(call).prepared

    def perform(self, call: Call) -> Want:
        """Make the one call that this attempt stands for, if its gate has let it through."""
        try:
            planned = self._planned(call)
        except OrchestratorError as error:
            return Fail(error, report=NOTHING_SENT)
        match call.admitted and call.admitted.state:
            case "refused":
                return self._refused(call, planned)
            case "cached":
                return self._from_cache(call, planned)
            case "admitted":
                return self._ask(call, planned)
        return Readmit(self._describe(planned.prepared, call))

    def _planned(self, call: Call) -> _Planned:
        parameters, memo = parameters_of(call), Memo.of(call.memo)
        schema, offers = schema_of(parameters), offers_of(parameters.tools)
        request = ModelRequest(
            model="",
            messages=(*messages_of(parameters, self._context(call)), *memo.messages(call.returned)),
            max_tokens=parameters.max_tokens,
            temperature=parameters.temperature,
            top_p=parameters.top_p,
            stop=tuple(parameters.stop),
            seed=parameters.seed,
            reasoning_effort=parameters.reasoning_effort,
            schema=schema.schema if schema else None,
            tools=tuple(offer for _, offer in offers.values()),
            tool_choice=_tool_choice(parameters, memo, offers),
            options=parameters.options,
            credential=parameters.credential,
            timeout_seconds=_seconds(call) + PROVIDER_GRACE_SECONDS,
        )
        if not memo.models:
            models, reason = self._models(parameters, request)
            memo = replace(memo, models=models, selection=reason)
        return _Planned(parameters, memo, _prepared(request, parameters, memo), offers, schema)

    def _models(self, parameters: GenerateParameters, request: ModelRequest) -> tuple[tuple[str, ...], str]:
        """The models to ask, in order, and why the first, where the plan left the choice."""
        # The parameter is what a template of the model gave; where that is nothing, the default is asked.
        named = (parameters.model or "").strip() or ("" if parameters.selection else self._default_model.strip())
        if named and named != AUTO:
            return tuple(dict.fromkeys(map(qualified, (named, *parameters.fallback_models)))), ""
        if not named and parameters.selection is None:
            raise ParametersInvalid(
                "the step names no model and this worker has no default: write `model` in the step's parameters, or set"
                " default_model in orchestrator.toml or ORCHESTRATOR_DEFAULT_MODEL in the environment of workers"
            )
        need = Need(_modalities(request), input_tokens(request), parameters.max_tokens or LONGEST_REPLY_TOKENS)

        def cost(model: str) -> Any:
            rate = self._prices.rate(provider_of(model), bare_name(model))
            return rate and rate.of(need.input_tokens, need.output_tokens)

        default = self._default_model or None
        choices = choose(self._project.models, parameters.selection or {}, need, cost, default)
        chosen = [choice.model for choice in choices]
        return tuple(dict.fromkeys((*chosen, *map(qualified, parameters.fallback_models)))), choices[0].reason

    def _ask(self, call: Call, planned: _Planned) -> Want:
        """Make the call, and see what came of it."""
        pick = call.admitted.pick if call.admitted else 0
        model, began = planned.prepared.models[pick], time.monotonic()
        request, lowered = _within_budget(planned.prepared.request, call)
        request, seconds = replace(request, model=bare_name(model)), _seconds(call)
        provider_name = provider_of(model)
        try:
            provider = self._provider(provider_name)
            reply = self._run(provider.complete(request, call.on_text), seconds)
        except (ModelFailed, CredentialMissing, ParametersInvalid, StepTimeout) as error:
            return self._failed(call, planned, model, error, time.monotonic() - began)
        finally:
            if call.on_text is not None:
                _flush(call.on_text)
        cost = self._prices.of_call(provider_name, reply.model, reply.raw_usage, reply.usage)
        if cost is None:
            cost = self._prices.of_call(provider_name, request.model, reply.raw_usage, reply.usage)
        kept = bool(planned.prepared.cache_seconds) and _is_as_described(planned.prepared, call)
        unpriced = f"no price is known for this call of '{reply.model}'; its cost is not counted"
        return Answered(
            call=call,
            parameters=planned.parameters,
            memo=planned.memo,
            reply=reply,
            usage=reply.usage.model_copy(update={"cost_usd": cost}),
            model=model,
            report=report_of(reply, cost, time.monotonic() - began, kept),
            offers=planned.offers,
            schema=planned.schema,
            selection=planned.prepared.selection,
            warnings=(*reply.warnings, *lowered, *(() if cost is not None else (unpriced,))),
            other_model=_other_model(planned, pick),
        ).want()

    def _failed(self, call: Call, planned: _Planned, model: str, error: OrchestratorError, seconds: float) -> Fail:
        """What a call that gave no reply means, for its gate and for the step."""
        kind = error.kind if isinstance(error, ModelFailed) else FailureKind.UNSENT
        kind = FailureKind.TIMEOUT if isinstance(error, StepTimeout) else kind
        report = Report(
            kind,
            sent=kind is not FailureKind.UNSENT,
            cost_nano_usd=0 if kind in REFUSED_UNPAID else None,
            seconds=seconds,
            wait_seconds=getattr(error, "retry_after_seconds", None),
            words=str(error)[:300],
            limits=getattr(error, "limits", ()),
        )
        pick = call.admitted.pick if call.admitted else 0
        return Fail(
            error,
            usage=planned.memo.usage if planned.memo.usage.requests else None,
            model=model,
            report=report,
            other_model=_other_model(planned, pick),
        )

    def _from_cache(self, call: Call, planned: _Planned) -> Want:
        """The answer that another call of the same request got."""
        stored = self._cached(call.admitted.digest) if call.admitted else None
        if not isinstance(stored, Mapping) or not _is_as_described(planned.prepared, call):
            return Readmit(self._describe(planned.prepared, call))
        calls = tuple(ToolCall(**asked) for asked in stored["calls"])
        reply = ModelReply(**{**stored, "calls": calls})
        if call.on_text is not None:
            call.on_text(reply.text)
            _flush(call.on_text)
        return Answered(
            call=call,
            parameters=planned.parameters,
            memo=planned.memo,
            reply=reply,
            usage=NO_USAGE,
            model=planned.prepared.models[call.admitted.pick if call.admitted else 0],
            report=Report("cached", sent=False),
            offers=planned.offers,
            schema=planned.schema,
            selection=planned.prepared.selection,
            cached=True,
        ).want()

    @staticmethod
    def _refused(call: Call, planned: _Planned) -> Fail:
        """No budget pays for the call: nothing was sent."""
        words = call.admitted.words if call.admitted else ""
        error = BudgetExceeded(f"{words}; raise it with `orchestrator budget`, or choose a cheaper model")
        return Fail(error, usage=planned.memo.usage if planned.memo.usage.requests else None, report=NOTHING_SENT)


REFUSED_UNPAID = frozenset(
    {
        FailureKind.RATE_LIMIT,
        FailureKind.OVERLOAD,
        FailureKind.QUOTA,
        FailureKind.AUTH,
        FailureKind.BAD_REQUEST,
        FailureKind.CONTEXT_LENGTH,
    }
)
"""Refusals before any work was done, which no provider bills."""


def _prepared(request: ModelRequest, parameters: GenerateParameters, memo: Memo) -> Prepared:
    """The call of the model whose turn it is, and of those behind it."""
    models = memo.models[memo.model :]
    return Prepared(
        models=models,
        request=replace(request, model=bare_name(models[0])),
        selection=f"asked because {memo.models[memo.model - 1]} had failed" if memo.model else memo.selection,
        cache_seconds=_cache_seconds(parameters),
    )


def _is_as_described(prepared: Prepared, call: Call) -> bool:
    """Whether the call is the one that was let through: a variable that was set since makes it another request, whose
    answer is not for the cache."""
    return call.admitted is not None and call.admitted.digest == digest_of(prepared)


def _seconds(call: Call) -> float:
    return DEFAULT_TIMEOUT_SECONDS if call.step.timeout_seconds is None else call.step.timeout_seconds


def _tool_choice(parameters: GenerateParameters, memo: Memo, offers: Mapping[str, tuple[str, ToolOffer]]) -> str:
    """As the model is told it. Once it has called what it must, it is free: otherwise it never came to an end."""
    choice = parameters.tool_choice
    if not offers or (memo.turns and choice not in ("auto", "none")):
        return "auto"
    return next((name for name, (uses, _) in offers.items() if uses == choice), choice)


def _modalities(request: ModelRequest) -> frozenset[str]:
    """What the request holds: `text`, `image`, `audio`, `document`."""
    media = [part.media_type for message in request.messages for part in message.parts if isinstance(part, Media)]
    kinds = {"image" if t.startswith("image/") else "audio" if t.startswith("audio/") else "document" for t in media}
    return frozenset({"text", *kinds})


def _cache_seconds(parameters: GenerateParameters) -> int:
    seconds = CACHE_SECONDS if parameters.cache is True else int(parameters.cache)
    if not 0 <= seconds <= LONGEST_CACHE_SECONDS:
        raise ParametersInvalid(
            f"parameter 'cache': {seconds} seconds; write true, false, or at most {LONGEST_CACHE_SECONDS} seconds"
        )
    return seconds


def _within_budget(request: ModelRequest, call: Call) -> tuple[ModelRequest, tuple[str, ...]]:
    """The request, no longer than its budgets pay for; and a warning where that shortens what the step asked for."""
    granted = call.admitted.granted_tokens if call.admitted else None
    if granted is None or (request.max_tokens is not None and request.max_tokens <= granted):
        return request, ()
    asked = request.max_tokens
    lowered = f"the budget pays for {granted} tokens of reply; max_tokens was lowered from {asked}"
    return replace(request, max_tokens=granted), (lowered,) if asked else ()


def _other_model(planned: _Planned, pick: int) -> Json:
    """The memo for the next model in line; None where there is none."""
    if pick + 1 >= len(planned.prepared.models):
        return None
    return planned.memo.for_model(planned.memo.model + pick + 1).to_json()


def _flush(on_text: OnText) -> None:
    flush = getattr(on_text, "flush", None)
    if flush is not None:
        flush()
