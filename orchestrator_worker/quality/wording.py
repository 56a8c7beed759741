"""Rules on the words: what must appear, what must not, what templates and chat models leave behind."""

from __future__ import annotations

import re

from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.quality import pattern_of
from orchestrator_client.contract.template import patterns
from orchestrator_worker.quality.subject import Subject, Unmet

SHOWN_CHARACTERS = 60

_RESIDUE = re.compile(
    r"\{\{[^{}\n]{0,200}\}\}|\{\{-?\s{0,20}[A-Za-z_][\w.]{0,100}\s{0,20}[|(}]|\{%[^%\n]{0,200}%\}|\{#[^#\n]{0,200}#\}"
    r"|\$\{[\w.]{1,100}\}|</?AUTO\b|<<[A-Za-z][\w ./-]{0,100}>>|\[(?:INSERT|YOUR|TODO|PLACEHOLDER)\b[^\[\]\n]{0,100}\]"
)
"""What is left of templates, tags, and forms to be filled in. It never looks back, for texts may be large."""

_BOILERPLATE = re.compile(
    r"\b(?:as an? (?:AI|artificial intelligence)(?: language)? ?(?:model|assistant)?\b"
    r"|I(?:'m| am) (?:just )?an? (?:AI|language model)"
    r"|I (?:cannot|can't|am unable to) (?:browse|access|assist with|help with|fulfil)"
    r"|my (?:knowledge|training) (?:cutoff|cut-off|data)"
    r"|I hope this helps|let me know if you|feel free to (?:ask|reach)|if you have any (?:other |further )?questions)"
    r"|^\W{0,3}(?:certainly|of course|sure|absolutely|great question)\b[!,.]"
    r"|^\W{0,3}here(?:'s| is| are) (?:the|a|an|your|some)\b[^\n]{0,100}:[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
"""What chat models say of themselves, and around what they were asked for."""


def check_requires(asks: Json, subject: Subject) -> None:
    """Raises Unmet if one of the words does not appear."""
    missing = [word for word in asks if _found(word, subject.text) is None]
    if missing:
        raise Unmet(f"it does not have {_listed(missing)}")


def check_forbids(asks: Json, subject: Subject) -> None:
    """Raises Unmet if one of the words appears."""
    found = [there for word in asks if (there := _found(word, subject.text)) is not None]
    if found:
        raise Unmet(f"it has {_listed(found)}")


def check_residue(_: Json, subject: Subject) -> None:
    """Raises Unmet if something was not rendered or filled in."""
    if found := _RESIDUE.search(subject.text):
        raise Unmet(f"it has {_listed([found[0]])}, which was not rendered")


def check_boilerplate(_: Json, subject: Subject) -> None:
    """Raises Unmet if a chat model speaks of itself."""
    if found := _BOILERPLATE.search(subject.text):
        raise Unmet(f"it has {_listed([found[0].strip()])}, which a chat model says beside its answer")


def _found(word: str, text: str) -> str | None:
    """Where it appears: a pattern's match, or the word itself, whatever its case."""
    pattern = pattern_of(word)
    if pattern is None:
        return word if word.casefold() in text.casefold() else None
    try:
        match = patterns.compiled(pattern, text).search(text)
    except TemplateError as error:
        raise Unmet(f"pattern {word} cannot be searched: {error}") from None
    return match[0] if match else None


def _listed(words: list[str]) -> str:
    return ", ".join(repr(word if len(word) <= SHOWN_CHARACTERS else f"{word[:SHOWN_CHARACTERS]}…") for word in words)
