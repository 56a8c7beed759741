"""Redis users, one a role: which keys and channels each may touch, and by which commands. Redis 7 is needed for them.

Every pattern begins with the namespace, so a user of one touches nothing of another. Scripts are run by their hash
alone: nobody may send the text of one but `loader`, who touches no key. What a script does is held to the same rules.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator_client.contract import names
from orchestrator_client.contract.models import AUTO_PROVIDER
from orchestrator_client.contract.namespace import prefix_of

NOT_OF_KEYS = ("-@dangerous", "-scan", "-randomkey", "-dbsize")
"""KEYS, SORT, FLUSHALL, RESTORE and their kind, and what tells of keys that no pattern allows."""
READ = ("+@read", *NOT_OF_KEYS)
CHANGE = ("+@read", "+@write", *NOT_OF_KEYS)
EVERYBODY = (
    "-@scripting",
    "+evalsha",
    "+script|exists",
    "+@connection",
    "+@transaction",
    "+time",
    "-@admin",
    "-@dangerous",
)
"""Without EVAL, SCRIPT LOAD and FUNCTION."""

REPLIES = "[0-9a-f]*.reply.celery.pidbox"
"""Lists of what workers reply to Celery's commands; none of another namespace begins so."""
OF_A_CLIENT = (
    *("", ":plan", ":events", ":instances", ":questions", ":variables", ":versions", ":variable:*"),
    *(":kept", ":kept_values", ":kept_value:*"),
)
"""What a client writes of a run: no value of a step, no receipt, no call; what another run left may be kept for it."""
OF_ALL_RUNS = ("orc:runs", "orc:folders", "orc:timetable", "orc:totals", "orc:schedules", "orc:schedule:*")
"""What it writes beside them."""


@dataclass(frozen=True, slots=True)
class RedisUser:
    """A user and what it may, in the words of ACL SETUSER."""

    name: str
    rules: tuple[str, ...]

    def line(self, password: str | None) -> str:
        """A line of an ACL file; without a password nobody can log in."""
        login = "resetpass" if password is None else f"#{hashlib.sha256(password.encode()).hexdigest()}"
        return " ".join(("user", self.name, "on", login, *self.rules))


def redis_users(namespace: str = "", providers: Sequence[str] = (), db: int = 0) -> list[RedisUser]:
    """The users of a fleet: a client, a tool worker, a model worker of each provider, Flower, an operator, a loader."""
    fleet = _Fleet(prefix_of(namespace), namespace or "orc", db)
    models = [
        fleet.worker(f"model-{provider}", names.model_queue(provider), names.model_queue(AUTO_PROVIDER))
        for provider in providers
    ]
    tools = fleet.worker("tool", names.TOOL_QUEUE, names.CONTROL_QUEUE)
    return [fleet.client(), tools, *models, fleet.flower(), fleet.operator(), fleet.loader()]


class _Fleet:
    """Makes the users of one namespace."""

    def __init__(self, prefix: str, owner: str, db: int) -> None:
        self._prefix, self._owner = prefix, owner
        self._commands, self._events = f"&{prefix}/{db}.celery.pidbox", f"&{prefix}/{db}.celeryev/*"
        self._events_of_all = f"&{prefix}/{db}.celeryev"
        self._wake = f"&{prefix}orc:wake"

    def client(self) -> RedisUser:
        """Submits, reads, cancels, answers, sets variables."""
        return self._user("client", *self._of_clients())

    def flower(self) -> RedisUser:
        """A client that also watches the workers and speaks to them."""
        return self._user("flower", *self._of_clients(), "+info", *self._watching())

    def worker(self, role: str, *queues: str) -> RedisUser:
        """Does the steps of these queues, and publishes to all. It hears Celery's commands, and gives none."""
        return self._user(
            role,
            *CHANGE,
            *EVERYBODY,
            "+info",
            *self._keys("orc:*", "celery-task*", "_kombu.*"),
            self._selector(*READ, "+brpop", *self._keys(*queues)),
            self._selector("+lpush", "+rpush", "+llen", *self._keys(*self._queues())),
            self._selector(*READ, "+lpush", "+pexpire", *self._keys(REPLIES)),
            self._selector(*READ, "+del", "+pexpire", *self._keys("*@*.celery.pidbox")),
            self._selector("+@pubsub", self._events, self._events_of_all, self._wake),
            self._selector("+subscribe", "+psubscribe", "+unsubscribe", "+punsubscribe", self._commands, self._wake),
        )

    def operator(self) -> RedisUser:
        """May all that is the fleet's: change limits and budgets, remove runs, put messages back."""
        everything = ("orc:*", "celery*", "_kombu.*", *self._queues())
        return self._user("operator", *CHANGE, *EVERYBODY, "+info", *self._keys(*everything), *self._watching())

    def loader(self) -> RedisUser:
        """Loads the scripts of a release, and nothing else: runs beside Redis."""
        return self._user("loader", "+@connection", "-@admin", "-@dangerous", "+script|load", "+script|exists")

    def _of_clients(self) -> Iterable[str]:
        written = [*(f"orc:{{*}}{part}" for part in OF_A_CLIENT), *OF_ALL_RUNS]
        yield from (*CHANGE, *EVERYBODY, *self._keys(*written))
        yield self._selector(*READ, *self._keys("orc:*", *self._queues(), reading=True))
        yield self._selector("+xadd", "+expire", *self._keys("orc:audit"))
        yield self._selector("+lpush", *self._keys(*self._queues()))
        yield self._selector("+sadd", "+smembers", *self._keys("_kombu.binding*"))

    def _watching(self) -> Iterable[str]:
        """What Celery's monitors need: events, commands, and the replies to them."""
        yield self._selector(*CHANGE, *EVERYBODY, *self._keys("_kombu.*", REPLIES, "celeryev.*"))
        yield self._selector("+@pubsub", self._commands, self._events, self._events_of_all, self._wake)

    def _queues(self) -> tuple[str, ...]:
        return names.TOOL_QUEUE, names.CONTROL_QUEUE, f"{names.MODEL_QUEUES}*"

    def _keys(self, *patterns: str, reading: bool = False) -> Iterable[str]:
        return (f"{'%R' if reading else ''}~{self._prefix}{pattern}" for pattern in patterns)

    def _user(self, role: str, *rules: str) -> RedisUser:
        return RedisUser(f"{self._owner}-{role}", ("resetchannels", "resetkeys", "-@all", *rules))

    @staticmethod
    def _selector(*rules: str) -> str:
        """Commands that hold for these keys and channels alone."""
        return f"({' '.join(rules)})"


def acl_file(users: Iterable[RedisUser], passwords: dict[str, str]) -> str:
    """The text of Redis's `aclfile`: these users and no other, not even the one that asks for no password."""
    lines = [user.line(passwords.get(user.name)) for user in users]
    return "\n".join(["user default off resetpass resetchannels resetkeys -@all", *lines]) + "\n"
