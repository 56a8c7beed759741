"""Rules on the form: a format, fields that must be there, a JSON Schema."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json
from orchestrator_worker.quality.subject import Subject, Unmet
from orchestrator_worker.steps.schema import Unfit, answer_schema

SHOWN = 5
"""Fields that are named of those missing."""

YAML_CHARACTERS = 1024 * 1024
"""Most that is read as YAML, which takes some ten seconds a million characters."""

_TAG = re.compile(r"</?[A-Za-z][\w:-]{0,50}(?:\s[^<>]{0,2000})?/?>")
_ENTITIES = re.compile(r"<!(DOCTYPE|ENTITY)", re.IGNORECASE)
_MARKS = re.compile(r"^(#{1,6} |[-*+] |\d+\. |> |```|\|)|\*\*|\[[^\[\]\n]{1,200}\]\(", re.MULTILINE)


def check_format(asks: Json, subject: Subject) -> None:
    """Raises Unmet if it is not of the format."""
    _FORMATS[asks](subject)


def check_fields(asks: Json, subject: Subject) -> None:
    """Raises Unmet if a field is missing or empty; dots lead into mappings and lists, and a list means each of it."""
    value = subject.json()
    missing = [name for name in asks if not _is_there(value, name.split("."))]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise Unmet(f"missing or empty: {', '.join(missing[:SHOWN])}{more}")


def check_schema(asks: Json, subject: Subject) -> None:
    """Raises Unmet if it does not fit the schema."""
    try:
        answer_schema(asks).parse(json.dumps(subject.json()))
    except (Unfit, ParametersInvalid) as error:
        raise Unmet(str(error)) from None


def _is_there(value: Json, path: list[str]) -> bool:
    if isinstance(value, list) and path and not path[0].isdigit():
        return bool(value) and all(_is_there(item, path) for item in value)
    if not path:
        return value not in (None, "", [], {})
    if isinstance(value, list):
        place = int(path[0])
        return place < len(value) and _is_there(value[place], path[1:])
    return isinstance(value, dict) and path[0] in value and _is_there(value[path[0]], path[1:])


def _json(subject: Subject) -> None:
    if subject.value is None:
        try:
            json.loads(subject.text)
        except (ValueError, RecursionError) as error:
            raise Unmet(f"it is not JSON ({error})") from None


def _yaml(subject: Subject) -> None:
    from ruamel.yaml import YAML  # few pipelines ask for it, and every worker would load it
    from ruamel.yaml.error import YAMLError

    if len(subject.text) > YAML_CHARACTERS:
        raise Unmet(f"it has {len(subject.text):,} characters; at most {YAML_CHARACTERS:,} are read as YAML")
    try:
        for event in YAML(typ="safe", pure=True).parse(subject.text):
            if event.__class__.__name__ == "AliasEvent":
                raise Unmet("it has YAML aliases")
    except (YAMLError, RecursionError) as error:
        raise Unmet(f"it is not YAML ({str(error).splitlines()[0]})") from None


def _csv(subject: Subject) -> None:
    try:
        rows = [row for row in csv.reader(io.StringIO(subject.text), strict=True) if row]
    except csv.Error as error:
        raise Unmet(f"it is not CSV ({error})") from None
    widths = {len(row) for row in rows}
    if not rows or len(widths) > 1:
        raise Unmet("it is not CSV: " + ("its rows have different numbers of fields" if rows else "it has no rows"))


def _markdown(subject: Subject) -> None:
    if not _MARKS.search(subject.text):
        raise Unmet("it has none of Markdown's marks: no heading, list, quote, link, table or emphasis")


def _html(subject: Subject) -> None:
    if not _TAG.search(subject.text):
        raise Unmet("it has no HTML tag")


def _xml(subject: Subject) -> None:
    import xml.etree.ElementTree as tree  # as for YAML

    if _ENTITIES.search(subject.text):
        raise Unmet("it is XML with a DOCTYPE or entities, which is not read")
    try:
        tree.fromstring(subject.text)  # noqa: S314 - without entities, which were refused above
    except tree.ParseError as error:
        raise Unmet(f"it is not XML ({error})") from None


_FORMATS: dict[str, Callable[[Subject], None]] = {
    "json": _json,
    "yaml": _yaml,
    "csv": _csv,
    "markdown": _markdown,
    "html": _html,
    "xml": _xml,
}
