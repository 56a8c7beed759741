"""What templates see where a plain value is not enough: a step, and a name that leads nowhere.

A step's value is an envelope (`{"result": …, "success": …}`) around what its author thinks of as the step, so that a
view answers for both: fields of the envelope first, then those of the result, then what every step has.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Any, Final, NoReturn

from jinja2 import StrictUndefined
from jinja2 import Undefined as JinjaUndefined
from jinja2.utils import missing

from orchestrator_client.contract.errors import Unresolved
from orchestrator_client.contract.plan import Json
from orchestrator_client.contract.template.guards import BUDGET, Wrapped

SHOWN_NAMES = 20
"""Names that a message lists before it says how many more there are."""


class Missing(Enum):
    """The one value that no JSON can be: the step left none."""

    MISSING = auto()


MISSING: Final = Missing.MISSING


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where something known is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def listed(names: Iterable[str]) -> str:
    """The names for a message, sorted and cut."""
    known = sorted(names)
    more = f" and {len(known) - SHOWN_NAMES} more" if len(known) > SHOWN_NAMES else ""
    return ", ".join(known[:SHOWN_NAMES]) + more if known else "nothing"


class Absent(StrictUndefined):
    """A name that is not there: false in a test, an error in every other use. What is read from it is it again."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: type[Exception] = Unresolved,
    ) -> None:
        super().__init__(hint, obj, name, exc)  # type: ignore[arg-type]  # typed for Jinja's own errors only

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        name = str(self._undefined_name)
        if isinstance(self._undefined_obj, StepView):
            return self._undefined_obj.absence(name)
        if isinstance(self._undefined_obj, dict):
            fields = [str(key) for key in self._undefined_obj]
            return f"there is no '{name}' among {listed(fields)}{suggestion(name, fields)}"
        if isinstance(self._undefined_obj, list | tuple):
            return f"there is no item {name} in a list of {len(self._undefined_obj)}"
        if self._undefined_obj is not missing:
            kind = {str: "text", type(None): "null"}.get(type(self._undefined_obj), type(self._undefined_obj).__name__)
            return f"there is no '{name}' in a value that is {kind}"
        known = [str(key) for key in BUDGET.get().scope]
        return f"'{name}' is not known here; there is {listed(known)}{suggestion(name, known)}"

    def refuse(self) -> NoReturn:
        """Raise Unresolved, or TemplateForbidden: the template needs what is not there, or not for it."""
        raise self._undefined_exception(self._undefined_message)

    def __bool__(self) -> bool:  # type: ignore[override]  # here and below: typed as always raising
        return False


class Lenient(Absent):
    """The same where it may be missing: in the test of an `if`, before `default`, before `is defined`."""

    __slots__ = ()

    def _same(self, *_: object, **__: object) -> Lenient:
        """What is done to it leaves it missing."""
        return self

    def _never(self, *_: object) -> bool:
        """Nothing equals it, is less or more, or is in it."""
        return False

    def __str__(self) -> str:  # type: ignore[override]
        return ""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return iter(())

    def __len__(self) -> int:  # type: ignore[override]
        return 0

    def __ne__(self, other: object) -> bool:  # type: ignore[override]
        return True

    def __hash__(self) -> int:  # type: ignore[override]
        return id(type(self))

    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _never  # type: ignore[assignment]
    __call__ = __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _same  # type: ignore[assignment]
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __pos__ = __neg__ = _same  # type: ignore[assignment]


def lenient(value: Any) -> Any:
    """The same value, whose absence does no harm."""
    if type(value) is Absent:
        return Lenient(value._undefined_hint, value._undefined_obj, value._undefined_name)
    return value


def is_absent(value: Any) -> bool:
    """Not there: an unknown name or field, or a step that was skipped."""
    return isinstance(value, JinjaUndefined) or (isinstance(value, StepView) and value.skipped)


class StepView(Wrapped):
    """One step, as templates see it."""

    __slots__ = ("_envelope", "_result", "_status")

    def __init__(self, value: Json | Missing, status: str) -> None:
        """`value`: what the step left in the store; `status`: its word (completed, failed, skipped, cancelled)."""
        self._status = status
        self._envelope: Mapping[str, Json] = value if isinstance(value, dict) else {}
        self._result: Json | Missing = value
        if "result" in self._envelope:
            self._result = self._envelope["result"]
        elif status != "completed":
            self._result = MISSING

    @classmethod
    def of(cls, value: Json) -> StepView:
        """The view of a step's stored value, whose status is `completed` unless an envelope says otherwise."""
        status = value.get("status") if isinstance(value, dict) else None
        told = status in ("skipped", "failed", "cancelled") and value.get("success") is False
        return cls(value, str(status) if told else "completed")

    @property
    def skipped(self) -> bool:
        return self._status == "skipped"

    @property
    def json(self) -> Json:
        """What `{{ step }}` hands on: the result. Empty text for a step that was skipped, null for one without any."""
        if self._result is MISSING:
            return "" if self.skipped else None
        return self._result

    @property
    def text(self) -> str:
        """The result as a reader wants it: its text, else its `content` or `stdout`, else JSON, indented by 2."""
        result = self.json
        if isinstance(result, dict):
            texts = (result.get(field) for field in ("content", "stdout"))
            result = next((text for text in texts if isinstance(text, str)), result)
        if isinstance(result, str | None):
            return result or ""
        return json.dumps(result, indent=2, ensure_ascii=False)

    def field(self, name: str) -> Json | Missing:
        """A field of the envelope, else of the result, else one that every step has; MISSING if there is none."""
        if self.skipped:
            return self._status if name == "status" else self._envelope.get(name, MISSING)
        for fields in (self._envelope, self._result):
            if isinstance(fields, dict) and name in fields:
                return fields[name]
        return self._special(name)

    def _special(self, name: str) -> Json | Missing:
        """What every step can be asked for, whatever it left."""
        match name:
            case "status":
                return self._status
            case "success":
                return self._status == "completed"
            case "error":
                return None
            case "result" | "value":
                return self._result
            case "outputs" if isinstance(self._result, dict):
                return self._result
            case "results" if isinstance(self._result, list):
                return self._result
            case "path" | "filepath":
                other = "filepath" if name == "path" else "path"
                return self._result.get(other, MISSING) if isinstance(self._result, dict) else MISSING
        return MISSING

    def absence(self, name: str) -> str:
        """Why there is no field `name`, for a message."""
        if self.skipped:
            return f"there is no '{name}': the step was skipped; write {{{{ … | default('…') }}}} where it may be"
        inner = self._result if isinstance(self._result, dict) else {}
        fields = dict.fromkeys(map(str, (*self._envelope, *inner, "status")))
        return f"there is no '{name}': the step {self._status} and left {listed(fields)}{suggestion(name, fields)}"

    # ---- what a template does with a whole step

    def _beside(self, other: object) -> Any:
        """The result, as something that can be compared with `other`: a number if the text is one and `other` too."""
        result = self.json
        if isinstance(result, str) and isinstance(other, int | float) and not isinstance(other, bool):
            try:
                return float(result)
            except ValueError:
                return result
        return result

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return repr(self.json)

    def __bool__(self) -> bool:
        return bool(self.json)

    def __len__(self) -> int:
        return len(self.json)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.json)

    def __contains__(self, item: object) -> bool:
        return unwrapped(item) in self.json

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return self.text.strip() == other.strip()
        other = unwrapped(other)
        return bool(self._beside(other) == other)

    __hash__ = None  # type: ignore[assignment]  # a view equals texts that differ in their blanks

    def __lt__(self, other: Any) -> bool:
        return bool(self._beside(other := unwrapped(other)) < other)

    def __le__(self, other: Any) -> bool:
        return bool(self._beside(other := unwrapped(other)) <= other)

    def __gt__(self, other: Any) -> bool:
        return bool(self._beside(other := unwrapped(other)) > other)

    def __ge__(self, other: Any) -> bool:
        return bool(self._beside(other := unwrapped(other)) >= other)


def unwrapped(value: Any) -> Any:
    """The JSON of a step's view; anything else as it is."""
    return value.json if isinstance(value, Wrapped) else value
