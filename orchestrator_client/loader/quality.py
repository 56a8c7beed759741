"""What results are held to: `quality` of a step, and of the whole file for the steps that it names."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from orchestrator_client.contract.errors import TemplateError
from orchestrator_client.contract.plan import Json, Step, StepKind
from orchestrator_client.contract.quality import OnUnmet, Quality, Rule, RuleKind, Severity, pattern_of
from orchestrator_client.contract.template import patterns
from orchestrator_client.loader import policy
from orchestrator_client.loader.codes import Code
from orchestrator_client.loader.problems import Problems, quoted
from orchestrator_client.loader.text.nodes import Mapping, Node, Scalar, Sequence, kind_of, plain

BLOCK_KEYS = ("rules", "on_fail", "threshold")
RULE_KEYS = ("severity", "name", "file")
FORMATS = ("json", "yaml", "csv", "markdown", "html", "xml")
UNITS = ("characters", "words", "lines", "items")
BARE = (RuleKind.RESIDUE, RuleKind.BOILERPLATE)
"""Rules that ask nothing, so that their name is enough."""

MOST_RULES = 100
_BYTES = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "kib": 1024, "mib": 1024**2}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Common:
    """What the file holds its steps to."""

    quality: Quality
    steps: frozenset[str] | None
    """None: all that call a tool or a model."""

    def of(self, step: str) -> Quality | None:
        return self.quality if self.steps is None or step in self.steps else None


def common(node: Node | None, steps: Collection[str], problems: Problems) -> Common | None:
    """The file's `quality`; None where it has none."""
    if node is None:
        return None
    named: frozenset[str] | None = None
    if isinstance(node, Mapping) and (chosen := node.get("steps")) is not None:
        named = frozenset(policy.texts(chosen, "steps", problems) or ())
        for word in sorted(named - set(steps)):
            problems.error(
                Code.UNKNOWN_STEP, f"no step {quoted(word)}", chosen.place, problems.did_you_mean(word, steps)
            )
    quality = _block(node, ("steps", *BLOCK_KEYS), None, problems)
    return Common(quality, named) if quality is not None else None


def of_step(step: Mapping, read: Step, shared: Common | None, problems: Problems) -> Quality | None:
    """A step's `quality` over the file's: its rules come behind, its other keys win; `false` takes all of it away."""
    node = step.get("quality")
    if read.kind is StepKind.CONTROL:
        if node is not None:
            message = "quality of a loop or of a pipeline has no effect"
            problems.warn(Code.NO_EFFECT, message, node.place, "set it on the steps within")
        return None
    around = shared.of(read.id) if shared else None
    if node is None:
        return around
    if isinstance(node, Scalar) and node.value is False:
        return None
    return _block(node, BLOCK_KEYS, around, problems)


def templates(node: Node | None) -> Sequence:
    """What is rendered of it: paths of files, and what judges are asked. All else stands as it is written."""
    rules = node.get("rules") if isinstance(node, Mapping) else node
    found: list[Node] = []
    for rule in rules.items if isinstance(rules, Sequence) else ():
        if isinstance(rule, Mapping):
            judge = rule.get(RuleKind.JUDGE)
            asked = judge.get("criteria") if isinstance(judge, Mapping) else judge
            found += [part for part in (rule.get("file"), asked) if isinstance(part, Scalar)]
    return Sequence(0, 0, found)


def _block(node: Node, keys: tuple[str, ...], around: Quality | None, problems: Problems) -> Quality | None:
    rules, given = (node.get("rules"), node) if isinstance(node, Mapping) else (node, None)
    if not isinstance(rules, Sequence) or (not rules.items and given is None):
        message = f"quality must have a list of rules, found {kind_of(rules or node)}"
        problems.error(Code.WRONG_TYPE, message, node.place, "write quality: {rules: [residue, {length: {min: 100}}]}")
        return around
    if len(rules.items) > MOST_RULES:
        problems.error(Code.TOO_LARGE, f"{len(rules.items)} rules; {MOST_RULES} are allowed", rules.place)
        return around
    read_rules = tuple(rule for item in rules.items if (rule := _rule(item, problems)) is not None)
    settings = around.model_dump(include={"on_fail", "threshold"}) if around else {}
    if given is not None:
        _refuse_unknown(given, keys, "quality", problems)
        if (word := _word(given, "on_fail", tuple(OnUnmet), problems)) is not None:
            settings["on_fail"] = word
        if (threshold := given.get("threshold")) is not None:
            settings["threshold"] = policy.number(threshold, "threshold", "of the score", 0, 1, problems) or 0.0
    return Quality(rules=(*(around.rules if around else ()), *read_rules), **settings)


def _rule(node: Node, problems: Problems) -> Rule | None:
    """One rule: a word, or a mapping with one kind."""
    if isinstance(node, Scalar) and node.value in BARE:
        return Rule(kind=RuleKind(node.text))
    keys = list(node.entries) if isinstance(node, Mapping) else []
    kinds = [key for key in keys if key in set(RuleKind)]
    if not isinstance(node, Mapping) or len(kinds) != 1:
        found = f"{len(kinds)} of them" if kinds else kind_of(node)
        written = node.text if isinstance(node, Scalar) else "" if kinds else next(iter(keys), "")
        remedy = problems.did_you_mean(written, list(RuleKind)) or f"kinds: {', '.join(RuleKind)}"
        problems.error(Code.WRONG_VALUE, f"a rule must be of one kind, found {found}", node.place, remedy)
        return None
    kind = RuleKind(kinds[0])
    _refuse_unknown(node, (kind.value, *RULE_KEYS), f"a rule of kind {kind}", problems)
    severity = _word(node, "severity", tuple(Severity), problems) or Severity.ERROR
    texts = {key: text.text for key in ("name", "file") if isinstance(text := node.get(key), Scalar)}
    asked = node.get(kind.value)
    return Rule(kind=kind, severity=Severity(severity), asks=_asks(kind, asked, node, problems), **texts)


def _asks(kind: RuleKind, node: Node | None, rule: Mapping, problems: Problems) -> Json:
    """What the rule asks, checked; None where that makes no sense."""
    value = plain(node) if node is not None else None
    match kind:
        case RuleKind.RESIDUE | RuleKind.BOILERPLATE:
            if value not in (None, True):
                _wrong(kind, "true", node, rule, problems)
            return None
        case RuleKind.SIZE | RuleKind.LENGTH:
            return _bounds(kind, node, rule, problems)
        case RuleKind.FORMAT:
            if value not in FORMATS:
                _wrong(kind, f"one of {', '.join(FORMATS)}", node, rule, problems)
            return value
        case RuleKind.FIELDS | RuleKind.REQUIRES | RuleKind.FORBIDS:
            words = [value] if isinstance(value, str) else value
            if not isinstance(words, list) or not words or not all(isinstance(word, str) and word for word in words):
                return _wrong(kind, "a text or a list of texts", node, rule, problems)
            if kind is not RuleKind.FIELDS:
                _check_patterns(words, node or rule, problems)
            return words
        case RuleKind.SCHEMA:
            return value if isinstance(value, dict) else _wrong(kind, "a JSON Schema", node, rule, problems)
        case RuleKind.JUDGE:
            return _judge(node, rule, problems)


def _bounds(kind: RuleKind, node: Node | None, rule: Mapping, problems: Problems) -> Json:
    """`min` and `max`, of which one is there; a length's `unit` beside them."""
    keys = ("min", "max") if kind is RuleKind.SIZE else ("min", "max", "unit")
    if not isinstance(node, Mapping) or not {"min", "max"} & node.entries.keys():
        return _wrong(kind, "{min: …, max: …}, or one of them", node, rule, problems)
    _refuse_unknown(node, keys, f"a rule of kind {kind}", problems)
    asks: dict[str, Json] = {}
    for key in ("min", "max"):
        if (bound := node.get(key)) is not None:
            asks[key] = _count(bound, kind, problems)
    if None not in asks.values() and asks.get("min", 0) > asks.get("max", asks.get("min", 0)):
        problems.error(Code.OUT_OF_RANGE, f"{kind}: min {asks['min']} is more than max {asks['max']}", node.place)
    if (unit := _word(node, "unit", UNITS, problems)) is not None:
        asks["unit"] = unit
    return asks


def _count(node: Node, kind: RuleKind, problems: Problems) -> int | None:
    """A whole number; of a size also a text such as `2 MB`."""
    value = node.value if isinstance(node, Scalar) else None
    if kind is RuleKind.SIZE and isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        unit = _BYTES.get(found[2].lower())
        if unit is not None:
            return int(float(found[1]) * unit)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    remedy = "write a number of bytes, or a size such as 2 MB" if kind is RuleKind.SIZE else "write a whole number"
    problems.error(Code.WRONG_TYPE, f"a bound of {kind} must be a number, found {kind_of(node)}", node.place, remedy)
    return None


def _judge(node: Node | None, rule: Mapping, problems: Problems) -> Json:
    """The criteria, of which model, and the score that is enough."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.value.strip():
        return {"criteria": node.value}
    if not isinstance(node, Mapping) or not isinstance(criteria := node.get("criteria"), Scalar):
        return _wrong(RuleKind.JUDGE, "what is to be judged, as a text or {criteria: …}", node, rule, problems)
    _refuse_unknown(node, ("criteria", "model", "at_least"), "a rule of kind judge", problems)
    asks: dict[str, Json] = {"criteria": criteria.text}
    if isinstance(model := node.get("model"), Scalar):
        asks["model"] = model.text
    if (least := node.get("at_least")) is not None:
        asks["at_least"] = policy.number(least, "at_least", "of the judge's score", 0, 1, problems)
    return asks


def _check_patterns(words: list[str], at: Node, problems: Problems) -> None:
    for word in words:
        if (pattern := pattern_of(word)) is None:
            continue
        try:
            patterns.compiled(pattern, "")
        except TemplateError as error:
            problems.error(Code.WRONG_VALUE, f"pattern {quoted(word)}: {error}", at.place)


def _word(node: Mapping, key: str, words: tuple[str, ...], problems: Problems) -> str | None:
    """The word that stands at a key, if one of those does."""
    written = node.get(key)
    if written is None:
        return None
    text = written.text if isinstance(written, Scalar) else ""
    if text in words:
        return text
    remedy = problems.did_you_mean(text, words) or f"write {', '.join(words)}"
    problems.error(Code.WRONG_VALUE, f"{key} is {kind_of(written)}", written.place, remedy)
    return None


def _refuse_unknown(node: Mapping, known: tuple[str, ...], where: str, problems: Problems) -> None:
    for key in node.entries:
        if key not in known:
            remedy = problems.did_you_mean(key, known) or f"keys: {', '.join(known)}"
            problems.error(Code.UNKNOWN_KEY, f"unknown key {quoted(key)} in {where}", node.place_of(key), remedy)


def _wrong(kind: RuleKind, expected: str, node: Node | None, rule: Mapping, problems: Problems) -> None:
    found = kind_of(node) if node is not None else "nothing"
    at = node.place if node is not None else rule.place_of(kind.value)
    problems.error(Code.WRONG_TYPE, f"{kind} must be {expected}, found {found}", at)
