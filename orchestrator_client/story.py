"""What became of a step, in one sentence. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from orchestrator_client.contract.run import Outcome, Receipt


def story(receipt: Receipt) -> str:
    """`answered by openai/gpt-5 (the cheapest of 3) in 2.1 s on attempt 2, for $0.0123`, or what went wrong."""
    match receipt.outcome:
        case Outcome.SUCCEEDED:
            return " ".join(_success(receipt))
        case Outcome.FAILED:
            error = f"{receipt.error.type}: {receipt.error.message}" if receipt.error else "nobody knows why"
            return f"failed on attempt {receipt.attempt} after {receipt.seconds:,.1f} s: {error}"
        case Outcome.SKIPPED | Outcome.CANCELLED:
            return f"{receipt.outcome}: {receipt.reason or 'no reason was recorded'}"


def _success(receipt: Receipt) -> Iterator[str]:
    """The parts that its receipt has anything to say of."""
    if receipt.kept_from:
        paid = receipt.inherited.cost_usd if receipt.inherited and receipt.inherited.requests else None
        yield f"kept from run {receipt.kept_from}{f', where it cost ${paid:.4f}' if paid is not None else ''}"
        return
    if receipt.cached:
        yield f"answered from the cache{f' (of {receipt.model})' if receipt.model else ''}"
    elif receipt.model:
        yield f"answered by {receipt.model}"
    else:
        yield "succeeded"
    if receipt.selection:
        yield f"({receipt.selection})"
    yield f"in {receipt.seconds:,.1f} s"
    if receipt.attempt > 1:
        excused = f", {receipt.excused} of those before through no fault of its own" if receipt.excused else ""
        yield f"on attempt {receipt.attempt}{excused}"
    if receipt.worker:
        yield f"on {receipt.worker}"
    if receipt.usage is not None and receipt.usage.requests:
        cost = receipt.usage.cost_usd
        yield f"for ${cost:.4f}" if cost is not None else "at a price that is not known"
    if receipt.warnings:
        yield f"with a warning: {'; '.join(receipt.warnings)}"


def error_in(data: Mapping[str, Any]) -> str:
    """`type: message` of the error in an event's data, or nothing."""
    error = data.get("error")
    if isinstance(error, dict):
        return f"{error.get('type') or 'Error'}: {error.get('message') or ''}".rstrip(": ")
    return str(error or "")


def time_of_day(milliseconds: int | None) -> str:
    """`12:03:07` on this machine; with the date if it is not today's."""
    if milliseconds is None:
        return "an unknown time"
    at = datetime.fromtimestamp(milliseconds / 1000)
    return at.strftime("%H:%M:%S" if at.date() == datetime.now().date() else "%Y-%m-%d %H:%M:%S")


def rounded(amount: float) -> str:
    """`90,000`, `12.5`: an amount as people write it."""
    return f"{amount:,.0f}" if abs(amount) >= 100 or amount == int(amount) else f"{amount:,.1f}"


def waiting(messages: int) -> str:
    """`1 message waits`, `2 messages wait`."""
    return "1 message waits" if messages == 1 else f"{messages:,} messages wait"
