"""The plan: its order, its hash, its stored form, and the inputs that it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.plan import Channel, Input, InputType, OnFailure, Plan, Retry, Step, StepKind, coerce

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc.{ é", max_size=4), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text("abcxyz_", min_size=1, max_size=5)


def step(name: str, *after: str, routed_from: tuple[str, ...] = (), **fields: Any) -> Step:
    return Step(id=name, kind=StepKind.TOOL, uses="terminal.execute", after=after, routed_from=routed_from, **fields)


def plan(*steps: Step, **fields: Any) -> Plan:
    return Plan(id="p", steps=steps, **fields)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Plans without cycles, whose steps stand in any order."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    steps = [
        Step(
            id=name,
            kind=draw(st.sampled_from(StepKind)),
            uses=draw(NAMES),
            after=tuple(draw(st.lists(st.sampled_from(names[:at]), unique=True))) if at else (),
            parameters=draw(st.dictionaries(NAMES, JSON, max_size=3)),
            condition=draw(JSON),
            timeout_seconds=draw(st.none() | st.floats(0, 1e6)),
            retry=Retry(attempts=draw(st.none() | st.integers(1, 9)), factor=draw(st.floats(1, 9))),
            on_failure=draw(st.sampled_from(OnFailure)),
            routes=draw(st.none() | st.dictionaries(NAMES, st.sampled_from(names), max_size=2)),
        )
        for at, name in enumerate(names)
    ]
    types = st.builds(Input, type=st.sampled_from(InputType), default=JSON, required=st.booleans())
    return Plan(
        id=draw(NAMES),
        steps=tuple(draw(st.permutations(steps))),
        inputs=draw(st.dictionaries(NAMES, types, max_size=2)),
        outputs=draw(st.dictionaries(NAMES, JSON, max_size=2)),
        channels=draw(st.none() | st.dictionaries(NAMES, st.builds(Channel, default=JSON), max_size=2)),
        metadata=draw(st.dictionaries(NAMES, JSON, max_size=2)),
    )


# --- order -----------------------------------------------------------------------------------------------------------


def test_levels_follow_the_longest_path() -> None:
    diamond = plan(step("a"), step("b", "a"), step("c", "b"), step("d", "a", "c"), step("e"))
    assert diamond.levels == (("a", "e"), ("b",), ("c",), ("d",))
    assert diamond.order == ("a", "e", "b", "c", "d")


def test_steps_without_edges_keep_the_order_of_the_file() -> None:
    assert plan(step("z"), step("a"), step("m")).order == ("z", "a", "m")


def test_followers_count_order_and_route_edges_once_each() -> None:
    both = plan(step("a"), step("b", "a", routed_from=("a",)), step("c", "a"))
    assert both.followers == {"a": ("b", "b", "c")}
    assert both.order == ("a", "b", "c")


@pytest.mark.parametrize(
    ("steps", "order"),
    [
        ((step("a", "a"),), ()),
        ((step("a", "b"), step("b", "a")), ()),
        ((step("x"), step("a", "x", "b"), step("b", "a"), step("behind", "b")), ("x",)),
        ((step("x"), step("a", "x", routed_from=("a",))), ("x",)),
    ],
)
def test_steps_of_a_cycle_and_those_behind_it_are_left_out(steps: tuple[Step, ...], order: tuple[str, ...]) -> None:
    cyclic = plan(*steps)
    assert cyclic.order == order
    assert [name for level in cyclic.levels for name in level] == list(order)


@settings(max_examples=100)
@given(plans())
def test_every_step_stands_behind_its_predecessors(made: Plan) -> None:
    place = {name: at for at, name in enumerate(made.order)}
    level = {name: at for at, names in enumerate(made.levels) for name in names}
    assert place.keys() == level.keys() == made.step_by_id.keys()
    for node in made.steps:
        assert all(place[before] < place[node.id] for before in node.predecessors)
        assert level[node.id] == max((level[before] + 1 for before in node.predecessors), default=0)


# --- hash and stored form --------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(plans())
def test_a_plan_comes_back_from_json_as_it_was(made: Plan) -> None:
    again = Plan.from_json(made.to_json())
    assert again == made
    assert again.hash == made.hash


def test_the_hash_does_not_depend_on_the_order_of_mappings() -> None:
    one = plan(step("s", parameters={"a": {"x": 1, "y": 2}, "b": 3}), outputs={"o": 1, "p": 2})
    other = plan(step("s", parameters={"b": 3, "a": {"y": 2, "x": 1}}), outputs={"p": 2, "o": 1})
    assert one.hash == other.hash
    assert len(bytes.fromhex(one.hash)) == 32


@pytest.mark.parametrize(
    "other",
    [
        plan(step("a"), step("b", "a"), version="2"),
        plan(step("a"), step("b")),
        plan(step("b", "a"), step("a")),
        plan(step("a", parameters={"x": 1}), step("b", "a")),
        plan(step("a", parameters={"x": "1"}), step("b", "a")),
        plan(step("a", on_failure=OnFailure.SKIP), step("b", "a")),
        plan(step("a"), step("b", "a"), channels={}),
        plan(step("a"), step("b", "a"), inputs={"x": Input(default=False)}),
        plan(step("a"), step("b", "a"), inputs={"x": Input(default=0)}),
    ],
)
def test_other_content_has_another_hash(other: Plan) -> None:
    assert other.hash != plan(step("a"), step("b", "a")).hash


def test_a_changed_copy_has_a_hash_of_its_own() -> None:
    made = plan(step("a"))
    assert made.model_copy(update={"version": made.hash}).hash != made.hash


def test_values_that_are_equal_in_python_only_hash_apart() -> None:
    hashes = {plan(step("a", parameters={"x": value})).hash for value in (1, True, "1", [1], None)}
    assert len(hashes) == 5


def test_an_older_reader_ignores_fields_of_a_newer_plan() -> None:
    newer = '{"id":"p","colour":"red","steps":[{"id":"a","kind":"tool","uses":"u","retry":{"attempts":2,"shape":"~"}}]}'
    assert Plan.from_json(newer).steps[0].retry.attempts == 2


# --- queue and label -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "queue", "label"),
    [
        ({"kind": "tool", "uses": "filesystem.read"}, "tool", "tool · filesystem.read"),
        ({"kind": "tool", "uses": "filesystem.read", "model": "gpt-5"}, "tool", "tool · filesystem.read"),
        ({"kind": "tool", "uses": "python:" + "m" * 60}, "tool", "tool · python:" + "m" * 18),
        ({"kind": "model", "uses": "generate"}, "model.openai", "model · generate"),
        ({"kind": "model", "uses": "generate", "model": "gpt-5"}, "model.openai", "model · gpt-5"),
        (
            {"kind": "model", "uses": "generate", "provider": "google", "model": "{{ m }}"},
            "model.google",
            "model · templated",
        ),
        ({"kind": "control", "uses": "close"}, "control", "control · close"),
    ],
)
def test_queue_and_label(fields: dict[str, Any], queue: str, label: str) -> None:
    made = Step(id="s", **fields)
    assert (made.queue, made.label) == (queue, label)


# --- inputs ----------------------------------------------------------------------------------------------------------

GOOD: list[tuple[str, Any, Any]] = [
    ("any", {"a": [1]}, {"a": [1]}),
    ("any", None, None),
    ("string", "5", "5"),
    ("string", "", ""),
    ("string", 5, "5"),
    ("string", 2.5, "2.5"),
    ("string", True, "true"),
    ("integer", 5, 5),
    ("integer", "5", 5),
    ("integer", " -5 ", -5),
    ("integer", 2.0, 2),
    ("integer", "2.0", 2),
    ("integer", "1e3", 1000),
    ("number", 5, 5),
    ("number", "5", 5),
    ("number", "2.5", 2.5),
    ("number", 2.5, 2.5),
    ("boolean", True, True),
    ("boolean", "false", False),
    ("boolean", " FALSE ", False),
    ("boolean", "True", True),
    ("boolean", "yes", True),
    ("boolean", "no", False),
    ("boolean", "1", True),
    ("boolean", 0, False),
    ("array", [1, "a"], [1, "a"]),
    ("array", "[1, [2]]", [1, [2]]),
    ("array", "[]", []),
    ("object", {"a": 1}, {"a": 1}),
    ("object", '{"a": {"b": 2}}', {"a": {"b": 2}}),
]

REFUSED: dict[str, list[Any]] = {
    "string": [None, [], {}],
    "integer": [None, 2.5, "2.5", "five", "", True, "true", "null", [], math.nan, math.inf, "NaN", "1e999"],
    "number": [None, math.nan, math.inf, -math.inf, "NaN", "-Infinity", "1e999", False, "0x10", ""],
    "boolean": [None, 2, "2", "on", "", 1.0, [], "maybe"],
    "array": [None, {}, "{}", "1,2", "[1", "", 5, '"[]"', "[" * 100_000],
    "object": [None, [], "[]", "{a: 1}", "", 5, '{"a":' * 100_000],
}
BAD = [(kind, value) for kind, values in REFUSED.items() for value in values]

HUGE = [
    ("integer", 2**70),
    ("integer", 10**400),
    ("number", "[" * 100_000),
]


def shortened(value: object) -> str:
    return repr(value)[:20]


@pytest.mark.parametrize(("kind", "given", "expected"), GOOD)
def test_coerced_without_loss(kind: str, given: Any, expected: Any) -> None:
    taken = coerce(given, InputType(kind))
    assert taken == expected
    assert type(taken) is type(expected)


@pytest.mark.parametrize(("kind", "given"), [*BAD, *HUGE], ids=shortened)
def test_refused_as_a_value_error(kind: str, given: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - that it is one is what counts; `bind` writes the message
        coerce(given, InputType(kind))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def test_a_deep_list_is_taken_as_it_is() -> None:
    deep = nested(50)
    assert coerce(deep, InputType.ARRAY) == deep


UNSHOWABLE: list[Callable[[], Any]] = [lambda: nested(100_000), lambda: {(1, 2): 3}, lambda: 10**5000]


@pytest.mark.parametrize("make", UNSHOWABLE)
def test_a_value_that_is_no_json_is_refused_with_its_name(make: Callable[[], Any]) -> None:
    with pytest.raises(InputsInvalid, match="input 'flag': expected boolean"):
        plan(step("s"), inputs={"flag": Input(type=InputType.BOOLEAN)}).bind({"flag": make()})


def test_defaults_stand_in_and_undeclared_names_are_kept() -> None:
    declared = {"n": Input(type=InputType.INTEGER, default=3), "s": Input(), "given": Input(type=InputType.NUMBER)}
    bound = plan(step("s"), inputs=declared).bind({"given": "1.5", "extra": {"any": "thing"}})
    assert bound == {"n": 3, "s": None, "given": 1.5, "extra": {"any": "thing"}}


def test_binding_leaves_what_was_given_alone() -> None:
    given = {"n": "5"}
    plan(step("s"), inputs={"n": Input(type=InputType.INTEGER), "m": Input(default=1)}).bind(given)
    assert given == {"n": "5"}


def test_required_is_satisfied_by_a_value_or_a_default() -> None:
    needs = plan(step("s"), inputs={"x": Input(required=True), "y": Input(required=True, default=0)})
    assert needs.bind({"x": False}) == {"x": False, "y": 0}
    with pytest.raises(InputsInvalid, match=r"input 'x' .* is required"):
        needs.bind({"y": 1})


def test_choices_are_compared_after_coercion() -> None:
    choosy = plan(step("s"), inputs={"n": Input(type=InputType.INTEGER, choices=(1, 2))})
    assert choosy.bind({"n": "2"}) == {"n": 2}
    with pytest.raises(InputsInvalid, match="input 'n': \"3\" is none of 1, 2"):
        choosy.bind({"n": "3"})


def test_all_problems_are_reported_at_once_in_the_order_of_the_plan() -> None:
    declared = {
        "missing": Input(required=True),
        "typed": Input(type=InputType.INTEGER),
        "chosen": Input(choices=("a", "b")),
        "fine": Input(type=InputType.STRING),
    }
    with pytest.raises(InputsInvalid) as caught:
        plan(step("s"), inputs=declared).bind({"typed": "x" * 500, "chosen": "c", "fine": "ok"})
    assert [problem.split("'")[1] for problem in caught.value.problems] == ["missing", "typed", "chosen"]
    assert all(len(problem) < 160 for problem in caught.value.problems)
