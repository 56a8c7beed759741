"""The variables of one run: what its templates may read, and what may be set while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator_client.client.settable import checked
from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import InputsInvalid
from orchestrator_client.contract.event import Event, EventKind
from orchestrator_client.contract.plan import Json
from orchestrator_client.store import Stores
from orchestrator_client.variables import Setting, Variable, VariableScope, VariableType, Version
from orchestrator_client.watch import follow

if TYPE_CHECKING:
    from orchestrator_client.client.catalogue import Catalogue

LISTED = 1_000
"""Variables that are listed where nobody says how many."""

FORMAT = "orchestrator-variables/1"


class Variables:
    """The variables of one run. Holds nothing: every method asks the store. Credentials are masked in all it shows."""

    def __init__(self, stores: Stores, run: str, check: Callable[[], None] = lambda: None) -> None:
        self._stores, self._run, self._check = stores, run, check
        self._store = stores.variables

    def list(
        self, scope: VariableScope | str | None = None, type: VariableType | str | None = None, limit: int = LISTED
    ) -> Sequence[Variable]:
        """The variables that match all that is given: inputs, sections of the file, what was set, what steps left.

        Raises:
            RunNotFound: the store has no such run.
        """
        wanted = VariableScope(scope) if scope else None
        return self._catalogue().listed(wanted, VariableType(type) if type else None, limit)

    def get(self, name: str, within: str = "") -> Variable:
        """A variable as a step `within` an instance, item or pass would see it now; else as the run does.

        `name` is a name, a step's instance, or a name with its item or pass before it: `each[2].item`.

        Raises:
            InputsInvalid: the run has no such variable.
        """
        catalogue = self._catalogue()
        found = catalogue.get(name, within)
        if found is None:
            raise InputsInvalid([f"run {self._run} has no variable {name[:80]!r}{catalogue.hint(name)}"])
        return found

    def set(
        self, name: str, value: Json, *, within: str = "", seconds: float | None = None, why: str = "", by: str = ""
    ) -> Variable:
        """Give a name a new value, as a new version: steps that start from now on read it as `{{ name }}`, also where
        an input had that name. What steps left is a receipt, and cannot be set.

        `within` has only the steps of an instance, item or pass see it; with `seconds`, all see it for that long. `by`
        is who sets it: by default, whoever runs this process.

        Raises:
            InputsInvalid: the name or value cannot be set, or the run has ended.
        """
        setting = Setting(name, value, within, seconds)
        [version] = self._set([setting], by, why)
        [told] = self._store.versions(self._run, [(setting.field, version)])
        return self._catalogue().of_setting(setting.field, told)

    def history(self, name: str, within: str = "") -> Sequence[Version]:
        """The values that a name has had, the first of those that are kept first; at most 100 that were set.

        Raises:
            InputsInvalid: the run has no such variable.
        """
        now = self.get(name, within)
        return self._catalogue().history(now)

    def changes(self, after: str = "0", timeout: float | None = None) -> Iterator[Event]:
        """Every `variable_set` of the run, until it has closed; from the first, or behind the event `after`.

        Raises:
            TimeoutError: `timeout` seconds passed and the run has not closed.
        """
        events = follow(self._stores.runs, self._run, after, timeout, self._check)
        return (event for event in events if event.kind is EventKind.VARIABLE_SET)

    def export(self) -> dict[str, Json]:
        """All variables as one JSON document; what `restore` takes."""
        kept = self.list(limit=caps.STEPS + caps.ITEMS + caps.VARIABLES)
        record = self._stores.runs.record(self._run)
        listed = [variable.model_dump(mode="json", exclude_defaults=True) for variable in kept]
        return {"format": FORMAT, "run": self._run, "pipeline": record.pipeline, "variables": listed}

    def restore(self, document: Mapping[str, Json], *, why: str = "", by: str = "") -> Sequence[str]:
        """Set what an exported document holds of inputs and names that were set, or the names of any mapping.

        What steps left and what the run itself binds is not taken over, nor what is there already. Returns the names
        that were set.

        Raises:
            InputsInvalid: a name or value cannot be set, and then none was; or the run has ended.
        """
        settings = _settings_of(document)
        catalogue = self._catalogue()
        new = [one for one in settings if not catalogue.holds(one)]
        if new:
            self._set(new, by, why or f"imported{_source(document)}")
        return [f"{one.within}.{one.name}" if one.within else one.name for one in new]

    def _set(self, settings: Sequence[Setting], by: str, why: str) -> Sequence[int]:
        """The versions that were made."""
        by = by or self._stores.connection.actor
        checked(self._stores.runs.plan(self._run), settings, by, why)
        return self._store.set(self._run, settings, by, why)

    def _catalogue(self) -> Catalogue:
        from orchestrator_client.client.catalogue import Catalogue  # reads templates, by Jinja

        return Catalogue(self._stores, self._run)


def _settings_of(document: Mapping[str, Json]) -> Sequence[Setting]:
    """What a document asks to be set: of an exported one, what can be; of any other mapping, all of it."""
    if document.get("format") != FORMAT:
        return [Setting(name, value) for name, value in document.items()]
    return [
        Setting(str(entry["name"]), entry.get("value"), str(entry.get("within") or ""))
        for entry in document.get("variables") or ()
        if _can_be_restored(Variable.model_validate(entry))
    ]


def _can_be_restored(variable: Variable) -> bool:
    """Whether it was given or set, for good and by somebody else than the run itself."""
    if variable.scope is VariableScope.TEMPORARY or variable.masked:
        return False
    return variable.type is VariableType.INPUT or (variable.version > 0 and variable.by != variable.address)


def _source(document: Mapping[str, Json]) -> str:
    """` from run greet_1`, of an exported document."""
    return f" from run {str(document['run'])[:100]}" if document.get("format") == FORMAT and "run" in document else ""
