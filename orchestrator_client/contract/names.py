"""Every name that two processes must spell alike: tasks, queues and Redis keys."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from orchestrator_client.contract.errors import ConfigInvalid
from orchestrator_client.contract.namespace import NAMESPACE, NAMESPACE_VARIABLE, PATTERN, PREFIX

RUN_TASK = "orchestrator.run_pipeline"
"""Starts a run. Its Celery task id is the run's id."""
STEP_TASK = "orchestrator.step"
"""Runs one attempt of one instance. Arguments: run, instance, attempt. Task id: `task_id(run, instance)`."""
CLOSE_TASK = "orchestrator.close"
"""Body of a run's chord. Its task id is the run."""

TOOL_QUEUE = "tool"
CONTROL_QUEUE = "control"


REPLY_QUEUES = ".reply.celery.pidbox"
"""How the queues end in which Celery's remote control gets its answers."""

MODEL_QUEUES = "model."
"""How the queues of models begin."""


def model_queue(provider: str) -> str:
    """Queue of the calls that go to one provider."""
    return f"{MODEL_QUEUES}{provider}"


def task_id(run: str, instance: str) -> str:
    """Celery's id of a step: fixed, because a chord counts a part once per task id."""
    return f"{run}:{instance}"


def slug(pipeline: str) -> str:
    """The part of a run's id that a person recognises: at most 20 characters of the pipeline's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", pipeline)[:20].strip("-_") or "run"


def new_run_id(pipeline: str) -> str:
    """`<slug>_<seconds since 1970>_<8 hex digits>`."""
    return f"{slug(pipeline)}_{int(time.time())}_{secrets.token_hex(4)}"


def child_run_id(pipeline: str, parent: str, instance: str, number: int) -> str:
    """The id of the run that a step starts, the `number`th of that step: whoever starts it again meets the same run."""
    digest = hashlib.sha256(f"{parent}\n{instance}\n{number}".encode()).hexdigest()
    return f"{slug(pipeline)}_{digest[:20]}"


def scheduled_run_id(pipeline: str, schedule: str, created_ms: int, due_ms: int) -> str:
    """The id of the run that a schedule has for one time: whoever fires it twice meets the same run."""
    digest = hashlib.sha256(f"schedule\n{schedule}\n{created_ms}\n{due_ms}".encode()).hexdigest()
    return f"{slug(pipeline)}_{due_ms // 1000}_{digest[:8]}"


def schedule(name: str) -> str:
    """Hash: a schedule, see `set_schedule.lua`."""
    return f"{ORC}:schedule:{name}"


def retry_run_id(pipeline: str, run: str, steps: Iterable[str]) -> str:
    """The id of the run that tries an ended one again, and these steps of it: whoever asks twice meets the same run."""
    digest = hashlib.sha256("\n".join(["retry", run, *sorted(steps)]).encode()).hexdigest()
    return f"{slug(pipeline)}_{digest[:20]}"


def celery_url(redis_url: str) -> str:
    """Celery's spelling of a Redis URL.

    `unix:///path?db=1` is `redis+socket:///path?virtual_host=1`, and `rediss://` says that certificates are checked.
    """
    parts = urlsplit(redis_url)
    query = parse_qs(parts.query)
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        return f"{redis_url}{'&' if parts.query else '?'}ssl_cert_reqs=required"
    if parts.scheme == "unix":
        return f"redis+socket://{parts.netloc}{parts.path}?virtual_host={query.get('db', ['0'])[0]}"
    return redis_url


def check_namespace(namespace: str | None = None) -> None:
    """Refuse a name that would not keep keys apart: this process's, or another one.

    Raises:
        ConfigInvalid: it is no name of a namespace.
    """
    namespace = NAMESPACE if namespace is None else namespace
    if namespace and not PATTERN.fullmatch(namespace):
        problem = f"{namespace[:60]!r} is no namespace: write small letters, digits and - within, at most 40 in all"
        raise ConfigInvalid(NAMESPACE_VARIABLE, [problem])


def stored_queue(queue: str) -> str:
    """List: where the broker keeps the messages of a queue."""
    return f"{PREFIX}{queue}"


TRANSPORT_OPTIONS: dict[str, str] = {"global_keyprefix": PREFIX} if PREFIX else {}
"""For Celery's broker and backend, whose keys and channels are the namespace's too."""

CHORD_OF = f"{PREFIX}celery-taskset-meta-"
"""How the keys of Celery's chords begin, before the run."""
RESULT_OF = f"{PREFIX}celery-task-meta-"
"""How the keys of Celery's results begin, before the run."""
ORC = f"{PREFIX}orc"
"""How all keys begin that are not Celery's. Scripts write it as `orc`, see `scripts.source`."""
TIMETABLE = f"{ORC}:timetable"
"""Sorted set: what `sweep` must look at, and when (ms since 1970). Members: `<run>|<instance>`, or `<run>|`."""
RUNS = f"{ORC}:runs"
"""Sorted set: run ids by the time of their submission (ms since 1970)."""
FOLDERS = f"{ORC}:folders"
"""Sorted set: runs that may have a working folder on some machine, by the time of their submission (ms since 1970)."""
SCHEDULES = f"{ORC}:schedules"
"""Sorted set: names of schedules that are not paused, by when to look at them (ms since 1970)."""
DELIVERIES = f"{ORC}:deliveries"
"""Sorted set: runs whose end a webhook is to be told, by when it is tried (ms since 1970)."""
WATCHER = f"{ORC}:watcher"
"""String with a short TTL: somebody has looked which schedules are due."""
SWEEPER = f"{ORC}:sweeper"
"""String with a short TTL: somebody is sweeping now."""
SWEPT = f"{ORC}:swept"
"""String: when somebody last swept (ms since 1970)."""
AGENDA = f"{ORC}:agenda"
"""Sorted set: scopes at whose gates calls wait, by when to look again (ms since 1970)."""
AGAIN = f"{ORC}:again"
"""List: calls, as `<run>|<instance>`, that waited for an answer or for money and are to be looked at again."""
SCOPES = f"{ORC}:scopes"
"""Set: every scope of which a gate is known."""
TOTALS = f"{ORC}:totals"
"""Hash: how many runs, steps, model calls and lost attempts there were ever, see `clock.lua`."""
WORKERS = f"{ORC}:workers"
"""Sorted set: names of workers, by when they last reported (ms since 1970)."""
WAKE = f"{ORC}:wake"
"""Channel: something on the agenda has become due earlier than whoever reads it believes."""
PULSE = f"{ORC}:pulse"
"""String: written to see whether the store takes a write."""
DEAD = f"{ORC}:dead"
"""Stream: messages that no worker could take, see `dead.DeadLetter`."""
AUDIT = f"{ORC}:audit"
"""Stream: who has done what, see `audit.AuditEntry`."""
CLOCK = f"{ORC}:clock"
"""String, only ever set by a test: what the scripts take for the time (ms since 1970)."""


def gate(scope: str) -> str:
    """Hash: `state`, `config` and `set`, all JSON, of one provider, credential and model."""
    return f"{ORC}:gate:{scope}"


def waiting(scope: str) -> str:
    """Sorted set: tenants that have calls waiting at a gate. With `|tenant` behind it: their runs; with `|tenant|run`:
    the run's instances, by arrival (ms)."""
    return f"{ORC}:waiting:{scope}"


def worker(name: str) -> str:
    """String with a short TTL: `reported ms|its clock minus Redis's, ms|JSON` of one worker, see `WorkerInfo`."""
    return f"{ORC}:worker:{name}"


def budget(identity: str) -> str:
    """Hash: `cap`, `spent` and `reserved`, in billionths of a dollar."""
    return f"{ORC}:budget:{identity}"


def short(identity: str) -> str:
    """Sorted set: calls that wait for money of one budget."""
    return f"{ORC}:short:{identity}"


BUDGET_TTL_SECONDS = 400 * 24 * 3600
"""Life of a tag's or tenant's budget after its last call."""


def ledger(day: int) -> str:
    """Hash: `kind|name|model|what` -> sum of one day, counted from 1970."""
    return f"{ORC}:ledger:{day}"


def cached(digest: str) -> str:
    """String: the reply to one request, as JSON."""
    return f"{ORC}:cache:{digest}"


def history(pipeline: str, step: str) -> str:
    """Hash: what a step's model calls used, smoothed over runs."""
    return f"{ORC}:history:{pipeline}:{step}"


def pace(pipeline: str) -> str:
    """Hash: how long a pipeline's earlier runs took, and the steps of them, smoothed over runs; see `pace.lua`."""
    return f"{ORC}:pace:{pipeline}"


PACE_TTL_SECONDS = 90 * 24 * 3600
"""Life of what is known of a pipeline's pace after its last run that succeeded."""


@dataclass(frozen=True, slots=True)
class RunKeys:
    """The Redis keys of one run. All carry the run as their hash tag, and all have a TTL."""

    run: str

    @property
    def record(self) -> str:
        """Hash: the run's record, see `run.RunRecord`."""
        return f"{ORC}:{{{self.run}}}"

    @property
    def plan(self) -> str:
        """String: the plan, zlib-compressed JSON."""
        return f"{ORC}:{{{self.run}}}:plan"

    @property
    def instances(self) -> str:
        """Hash: instance -> `state|attempt|since ms|dead|excused|queue|token` of every instance that is open."""
        return f"{ORC}:{{{self.run}}}:instances"

    @property
    def values(self) -> str:
        """Hash: instance -> JSON, or empty where the value is in `value(instance)`."""
        return f"{ORC}:{{{self.run}}}:values"

    def value(self, instance: str) -> str:
        """String: one large value, zlib-compressed JSON."""
        return f"{ORC}:{{{self.run}}}:value:{instance}"

    @property
    def receipts(self) -> str:
        """Hash: instance -> `ended ms` + space + JSON of its receipt."""
        return f"{ORC}:{{{self.run}}}:receipts"

    @property
    def arrivals(self) -> str:
        """Hash: instance -> arrivals so far; `!instance` -> dead order edges; `+instance` -> live routes."""
        return f"{ORC}:{{{self.run}}}:arrivals"

    @property
    def events(self) -> str:
        """Stream: what happened, see `event.Event`."""
        return f"{ORC}:{{{self.run}}}:events"

    @property
    def calls(self) -> str:
        """Hash: instance -> JSON of the model call that it waits for or makes, see `admission.lua`."""
        return f"{ORC}:{{{self.run}}}:calls"

    @property
    def memos(self) -> str:
        """Hash: instance -> JSON of what its attempts so far left for the next: turns, tools asked for, usage."""
        return f"{ORC}:{{{self.run}}}:memos"

    @property
    def questions(self) -> str:
        """Hash: instance -> number, `asked ms`, `deadline ms` and JSON of its last question; `instance!` -> number,
        `at ms` and JSON of its last answer. See `question`."""
        return f"{ORC}:{{{self.run}}}:questions"

    @property
    def work(self) -> str:
        """Hash: what the run's steps are expected to take, and what they took, see `progress.lua`."""
        return f"{ORC}:{{{self.run}}}:work"

    @property
    def starts(self) -> str:
        """Hash: instance -> when its first attempt began (ms), of those that had more than one; only where spans are
        configured."""
        return f"{self.record}:starts"

    @property
    def children(self) -> str:
        """Hash: run that a step has started -> that instance. See `family.lua`."""
        return f"{ORC}:{{{self.run}}}:children"

    @property
    def variables(self) -> str:
        """Hash: `scope/name` -> its version, of every name that was set at run time, see `see.lua`."""
        return f"{ORC}:{{{self.run}}}:variables"

    @property
    def versions(self) -> str:
        """Hash: `scope/name@version` -> `set at ms|until ms|JSON`."""
        return f"{ORC}:{{{self.run}}}:versions"

    def variable(self, version: str) -> str:
        """String: the value of one version (`scope/name@version`) that is large, zlib-compressed JSON."""
        return f"{ORC}:{{{self.run}}}:variable:{version}"

    @property
    def kept(self) -> str:
        """Hash: what it keeps of the run that it was forked from, see `keeping.lua`."""
        return f"{ORC}:{{{self.run}}}:kept"

    @property
    def kept_values(self) -> str:
        """Hash: instance -> JSON, or empty where the value is in `kept_value(instance)`."""
        return f"{ORC}:{{{self.run}}}:kept_values"

    def kept_value(self, instance: str) -> str:
        """String: one large value, zlib-compressed JSON."""
        return f"{ORC}:{{{self.run}}}:kept_value:{instance}"

    @property
    def deltas(self) -> str:
        """Stream: pieces of text as models write them, see `event.Delta`."""
        return f"{ORC}:{{{self.run}}}:deltas"
