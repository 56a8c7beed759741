"""The ids of steps and pipelines: which there are, and what an id may be."""

from __future__ import annotations

from orchestrator_client.contract import caps
from orchestrator_client.loader import dialect
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Place, Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, kind_of


def ids_of(nodes: list[Node], problems: Problems) -> dict[str, Place]:
    """The ids of all steps, with their places; what is wrong with them is added."""
    ids: dict[str, Place] = {}
    by_folded: dict[str, str] = {}
    for node in nodes:
        step_id = _id(node, problems)
        if step_id is None:
            continue
        at = _place_of_id(node)
        if step_id in ids:
            message = f"step id {quoted(step_id)} stands here and on line {ids[step_id].line}"
            problems.error(Code.DUPLICATE_ID, message, at, "give each step an id of its own")
        elif (twin := by_folded.setdefault(step_id.lower(), step_id)) != step_id:
            problems.warn(Code.SIMILAR_ID, f"step ids {quoted(step_id)} and {quoted(twin)} differ by case only", at)
        ids.setdefault(step_id, at)
    return ids


def _id(node: Node, problems: Problems) -> str | None:
    """The id of a step as written, checked; None where there is none to speak of."""
    if not isinstance(node, Mapping):
        problems.error(Code.WRONG_TYPE, f"a step must be a mapping, found {kind_of(node)}", node.place)
        return None
    written = node.get("id")
    if written is None:
        problems.error(Code.NO_ID, "the step has no id", node.place, "add id: some_name")
        return None
    if not isinstance(written, Scalar) or not isinstance(written.value, str):
        message = f"a step's id must be text, found {kind_of(written)}"
        problems.error(Code.WRONG_TYPE, message, written.place, "start it with a letter")
        return None
    check_id(written.value, written.place, "step", problems)
    return written.value


def check_id(text: str, at: Place, what: str, problems: Problems) -> None:
    """Refuse an id that is too long, has other characters than the grammar's, or means something in a template."""
    if len(text) > caps.ID_CHARACTERS:
        message = f"{what} id of {len(text):,} characters; {caps.ID_CHARACTERS} are allowed: {quoted(text[:20])}"
        problems.error(Code.BAD_ID, message, at)
    elif not dialect.ID.fullmatch(text):
        odd = next((character for character in text if not character.isascii()), "")
        found = f" has {quoted(odd)} (U+{ord(odd):04X})" if odd else " is not an id"
        remedy = f"letters, digits, _ and -, a letter first: {slug(text)}"
        problems.error(Code.BAD_ID, f"{what} id {quoted(text)}{found}", at, remedy)
    elif what == "step" and text.lower() in dialect.RESERVED_IDS:
        remedy = f"rename it, for example {text}_step"
        problems.error(Code.RESERVED_ID, f"step id {quoted(text)} means something else in a template", at, remedy)


def slug(text: str) -> str:
    """The nearest id to a text, or `pipeline` where nothing of it is left."""
    kept = "".join(character if character.isascii() and character.isalnum() else "_" for character in text)
    kept = "_".join(part for part in kept.split("_") if part)[: caps.ID_CHARACTERS].strip("_")
    return kept if kept[:1].isalpha() else f"p_{kept}"[: caps.ID_CHARACTERS] if kept else "pipeline"


def _place_of_id(node: Node) -> Place:
    """Where the id stands, for messages about it."""
    return node.entries["id"].value.place if isinstance(node, Mapping) else node.place
