"""Plans drawn at random: maps and loops within one another, conditions, jumps, failures and what is done about them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from orchestrator_client.contract.plan import (
    Handler,
    Input,
    Json,
    Jump,
    Loop,
    LoopKind,
    OnFailure,
    OnLost,
    Plan,
    Retry,
    Step,
)
from orchestrator_client.contract.plan import StepKind as Kind

MOST_STEPS = 14
LEVELS = 3
"""Loops within loops."""

INPUTS: dict[str, Json] = {"n": 2, "words": ["a", "b", "c"], "rows": [["a"], [], ["b", "c"]], "nothing": []}


@dataclass(frozen=True)
class Room:
    """Where steps are drawn: what stands around them."""

    loops: tuple[str, ...] = ()
    """Ids of the loops around, outermost first."""
    over: str = ""
    """What the innermost map runs over: `rows`, whose items are lists, or anything else; empty in a loop."""
    in_passes: bool = False
    outside: tuple[str, ...] = ()
    """Steps around that have ended, or in loops ended in the pass before."""
    drawn: list[str] = field(default_factory=list)
    """Ids of all steps of the plan so far."""
    jumps: bool = True
    """Whether there may be jumps, and loops that are one step, which a file writes in another way."""


@st.composite
def plans(draw: st.DrawFn, jumps: bool = True) -> Plan:
    """A plan of at most 14 steps, those of bodies included."""
    steps = _body(draw, Room(jumps=jumps), draw(st.integers(1, 6)))
    outputs: dict[str, Json] = {step.id: _output(step) for step in steps}
    outputs |= {"n": "{{ n }}", "again": f"{{{{ outputs.{steps[0].id} }}}}!"}
    inputs = {name: Input(default=value) for name, value in INPUTS.items()}
    return Plan(id="random", inputs=inputs, steps=steps, outputs=outputs)


SETTINGS: dict[str, list[Json]] = {"n": [1, 3], "words": [["d"], "e,f"], "rows": [[["g"]]], "nothing": [["h"]]}
"""What may be set of the inputs before a run's first step starts."""


def settings() -> st.SearchStrategy[dict[str, Json]]:
    """Variables that somebody sets."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in SETTINGS.items()})


def _output(step: Step) -> str:
    if step.loop is None:
        return f"{{{{ {step.id}.result | default('-') }}}}"
    return f"{{{{ {step.id}.length | default(0) }}}} {{{{ {step.id}.results | default([]) | length }}}}"


def _body(draw: st.DrawFn, room: Room, size: int) -> tuple[Step, ...]:
    steps: list[Step] = []
    for _ in range(size):
        if len(room.drawn) >= MOST_STEPS:
            break
        room.drawn.append(name := f"s{len(room.drawn)}")
        before = [step.id for step in steps]
        after = tuple(draw(st.lists(st.sampled_from(before), unique=True, max_size=2))) if before else ()
        steps.append(_step(draw, room, name, after))
    if room.jumps and len(steps) > 2 and draw(st.booleans()):
        steps = _with_jump(draw, steps)
    return tuple(steps)


def _step(draw: st.DrawFn, room: Room, name: str, after: tuple[str, ...]) -> Step:
    common: dict[str, Any] = {"id": name, "after": after, "condition": _condition(draw, room, after)}
    common["on_failure"] = draw(st.sampled_from([OnFailure.CONTINUE] * 3 + [OnFailure.SKIP] * 2 + [OnFailure.FAIL]))
    kind = draw(st.sampled_from(["text"] * 5 + ["map", "map", "while", "until", "fail", "flaky"]))
    inner = kind in ("map", "while", "until")
    if inner and len(room.loops) < LEVELS and len(room.drawn) < MOST_STEPS:
        return _loop(draw, room, name, LoopKind(kind), common)
    if kind == "fail":
        caught = Handler(fallback_value="caught", has_fallback=True)
        handlers = draw(st.sampled_from([(), (), (caught,)]))
        return _call("tests.functions:fail", ["no"], handlers=handlers, reads=after, **common)
    if kind == "flaky":
        place = "".join(f".{{{{ loops.{loop}.index }}}}" for loop in room.loops)
        retry = Retry(attempts=draw(st.integers(1, 3)))
        args: list[Json] = [f"{{{{ folder }}}}/{name}{place}", draw(st.integers(0, 2))]
        return _call("tests.functions:fail_until", args, retry=retry, reads=after, **common)
    template, reads = _text(draw, room, name, after)
    return _call("builtins:str", [template], reads=reads, **common)


def _call(function: str, args: list[Json], **fields: Any) -> Step:
    """A step whose worker may die: it is tried again then."""
    parameters: dict[str, Json] = {"function": function, "args": args}
    return Step(kind=Kind.TOOL, uses="python.call", parameters=parameters, on_lost=OnLost.RETRY, **fields)


def _condition(draw: st.DrawFn, room: Room, after: tuple[str, ...]) -> Json:
    choices: list[Json] = [None] * 6 + ["{{ n > 1 }}", "{{ n > 5 }}"]
    choices += ["{{ index % 2 == 0 }}"] * 2 if room.loops else []
    choices += [f"{{{{ {name}.status == 'completed' }}}}" for name in after]
    return draw(st.sampled_from(choices))


def _text(draw: st.DrawFn, room: Room, name: str, after: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A template and the steps that it names."""
    seen = [*after, *room.outside, *([name] if room.in_passes else [])]
    reads = tuple(draw(st.lists(st.sampled_from(seen), unique=True, max_size=3))) if seen else ()
    parts = [f"{{{{ {read}.result | default('-') }}}}" for read in reads]
    if room.loops:
        parts += draw(st.lists(st.sampled_from(_bindings(room)), max_size=2))
    template = draw(st.sampled_from(["x,y", name])) + "".join(parts)
    return template, tuple(dict.fromkeys([*reads, *after]))


def _bindings(room: Room) -> list[str]:
    numbers = ["{{ index }}", *(f"{{{{ loops.{loop}.index }}}}" for loop in room.loops)]
    return [*numbers, "{{ item }}", "{{ is_last }}"] if room.over else numbers


def _loop(draw: st.DrawFn, room: Room, name: str, kind: LoopKind, common: dict[str, Any]) -> Step:
    after = common["after"]
    over = _items(draw, room, after) if kind is LoopKind.MAP else ""
    # Its own id means the loop to its body, so that only others' values are there to be read.
    outside = tuple(dict.fromkeys([*after, *room.outside]))
    within = replace(
        room,
        loops=(*room.loops, name),
        over=over,
        in_passes=kind is not LoopKind.MAP,
        outside=outside,
        jumps=room.jumps,
    )
    body = _body(draw, within, draw(st.integers(1, 3)))
    inline = room.jumps and len(body) == 1 and draw(st.booleans())
    loop = Loop(kind=kind, steps=body, name=name, inline=inline, **_bounds(draw, kind, over, body))
    uses = "map" if kind is LoopKind.MAP else "loop"
    common = {**common, "on_failure": common["on_failure"] if "{{ n }}" in over else OnFailure.FAIL}
    return Step(kind=Kind.CONTROL, uses=uses, loop=loop, reads=after, **common)


def _items(draw: st.DrawFn, room: Room, after: tuple[str, ...]) -> str:
    choices = ["{{ words }}", "{{ words }}", "{{ rows }}", "{{ nothing }}", "{{ n }}"]
    choices += ["{{ item }}"] * 4 if room.over == "{{ rows }}" else []
    choices += [f"{{{{ {name}.result | default('z') }}}}," for name in after]
    return draw(st.sampled_from(choices))


def _bounds(draw: st.DrawFn, kind: LoopKind, over: str, body: tuple[Step, ...]) -> dict[str, Json]:
    """How often the loop runs."""
    if kind is LoopKind.MAP:
        return {"items": over, "max_parallel": draw(st.sampled_from([1, 2, "{{ n }}", 7]))}
    passes = draw(st.integers(0, 3))
    left = f"({body[0].id}.result | default('') | string | length)"
    more = [f"{{{{ iteration < {passes} }}}}", "true", f"{{{{ iteration == 0 or {left} < 6 }}}}"]
    enough = [f"{{{{ iteration >= {passes} }}}}", "false", f"{{{{ {left} > 5 }}}}"]
    condition = draw(st.sampled_from(more if kind is LoopKind.WHILE else enough))
    return {"condition": condition, "max_iterations": draw(st.sampled_from([1, 3, "{{ n }}"]))}


def _with_jump(draw: st.DrawFn, steps: list[Step]) -> list[Step]:
    """A jump over one step: the one behind waits for its source."""
    over = draw(st.integers(1, len(steps) - 2))
    source = steps[draw(st.integers(0, over - 1))].id
    when = draw(st.sampled_from(["skipped", "succeeded", "failed"]))
    jump = Jump(source=source, when=when, target=steps[over + 1].id)
    between = steps[over]
    reads, after = ((*names, source) if source not in names else names for names in (between.reads, between.after))
    steps[over] = between.model_copy(update={"jumps": (jump,), "reads": reads, "after": after})
    return steps
