"""Parameters of a call against a pydantic record, and the words for what does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError

from orchestrator_client.contract.errors import ParametersInvalid
from orchestrator_client.contract.plan import Json

R = TypeVar("R", bound=BaseModel)

SHOWN_PROBLEMS = 5
"""Problems of one call that its error names."""

SHOWN_CHARACTERS = 60
"""Of a refused value: enough to recognise it, too little to leak a document into the log."""


def validated(record: type[R], parameters: Mapping[str, Json], tool: str) -> R:
    """The parameters as the tool's record.

    Raises:
        ParametersInvalid: one is missing or of the wrong type; the message names each, as found and as allowed.
    """
    try:
        return record.model_validate(dict(parameters))
    except ValidationError as error:
        # Two members of a union report one parameter twice, so keyed by parameter.
        problems = {str(problem["loc"][0]): _problem(cast("Any", problem)) for problem in reversed(error.errors())}
    # Aliases of older plans are not advertised.
    fields = record.model_fields.items()
    takes = {field.alias or name.removesuffix("_"): field.is_required() for name, field in fields}
    raise refusal(tool, list(reversed(problems.values())), takes) from None


def refusal(tool: str, problems: Sequence[str], takes: Mapping[str, bool]) -> ParametersInvalid:
    """What is wrong with the parameters of a call. `takes` says of each that there is whether it is required."""
    names = [name + ("" if required else "?") for name, required in takes.items()]
    taken = f"it takes {', '.join(names)} (? marks what may be left out)" if names else "it takes none"
    return ParametersInvalid(f"{tool}: {'; '.join(problems[:SHOWN_PROBLEMS])}; {taken}")


def missing(name: str) -> str:
    """The words for a parameter that is not there."""
    return f"parameter '{name}' is required, and was not given"


def unknown(name: str) -> str:
    """The words for a parameter that the tool does not have."""
    return f"there is no parameter '{name}'"


def unfit(place: str, found: Json, message: str) -> str:
    """The words for a parameter that does not fit."""
    return f"parameter '{place}' was {_shown(found)}: {message}"


def _problem(problem: Mapping[str, Any]) -> str:
    """One problem as pydantic found it, in our words: what was given, and what would have been taken.

    A problem inside a container names its key or index; members of a union name nothing, since plans know no types.
    """
    place = str(problem["loc"][0]) + "".join(f"[{part!r}]" for part in problem["loc"][1:2] if problem["loc"][2:])
    match problem["type"]:
        case "missing":
            return missing(place)
        case "extra_forbidden":
            return unknown(place)
    return unfit(place, problem["input"], problem["msg"])


def _shown(value: Json) -> str:
    """Scalars abbreviated; of containers only the type, because they may hold what no log should."""
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
