"""The client of a fleet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from orchestrator_client.actor import actor as process_actor
from orchestrator_client.announce import Announcer
from orchestrator_client.budgets import checked_tenant, run_budget
from orchestrator_client.client.operations import Operations
from orchestrator_client.client.pipelines import Pipeline, plan_of
from orchestrator_client.client.run import Run
from orchestrator_client.client.schedules import Schedules
from orchestrator_client.contract.audit import WHO_CHARACTERS
from orchestrator_client.contract.environment import redis_url
from orchestrator_client.contract.errors import StoreUnavailable
from orchestrator_client.contract.keys import variables_of
from orchestrator_client.contract.names import model_queue, retry_run_id
from orchestrator_client.contract.plan import Json, Plan
from orchestrator_client.contract.project import load_project
from orchestrator_client.contract.question import AskedQuestion
from orchestrator_client.contract.run import RunRecord, RunState, Submission
from orchestrator_client.contract.submission import run_id_for
from orchestrator_client.contract.webhook import Webhook, checked_webhook
from orchestrator_client.contract.worker import serving
from orchestrator_client.questions import Questions, told
from orchestrator_client.store import Stores
from orchestrator_client.traces import submitting

if TYPE_CHECKING:
    from orchestrator_client.estimate import Estimate
    from orchestrator_client.local import LocalFleet
    from orchestrator_client.reruns.forks import Forks, Rerun
    from orchestrator_client.soundness import Judgement

DEFAULT_URL = "redis://127.0.0.1:6379/0"


class Client(Operations):
    """A connection to a fleet: submits runs and finds them again. Safe to share between threads."""

    def __init__(self, url: str | None = None, *, fleet: LocalFleet | None = None, actor: str | None = None) -> None:
        """`actor` is who acts, for the audit log; without it what `ORCHESTRATOR_ACTOR` says, else `user@host`."""
        self.url = url or redis_url() or DEFAULT_URL
        self._fleet = fleet
        self._stores = Stores(self.url, (actor or process_actor())[:WHO_CHARACTERS])
        self._store = self._stores.runs
        self._announcer = Announcer(self.url)
        self._questions = Questions(self._stores, self._announcer)

    @classmethod
    def local(cls, folder: str | Path = ".") -> Client:
        """A client with a fleet of its own: an embedded Redis and workers that live as long as it does.

        `folder` is the working folder of its runs. Workers start when the first plan is submitted.
        """
        from orchestrator_client.local import LocalFleet

        fleet = LocalFleet(Path(folder)).start()
        return cls(fleet.url, fleet=fleet)

    def submit(
        self,
        pipeline: Pipeline,
        inputs: Mapping[str, Json] | None = None,
        *,
        idempotency_key: str | None = None,
        tags: Sequence[str] = (),
        tenant: str = "",
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
        stream_text: bool = False,
        answers: Mapping[str, Json] | None = None,
        answer_defaults: bool = False,
        allow_tools: Sequence[str] | None = None,
        webhook: str | None = None,
        webhook_secret: str = "",
        webhook_values: bool = False,
    ) -> Run:
        """Record a run, and tell the fleet. Once this returns, the run will come to an end, whatever dies meanwhile.

        Submitting again with the same idempotency key gives the same run. `tenant` is on whose account it runs; the
        models may cost `budget_usd`, and a call that this does not pay for meets `on_breach`: `fail`, `pause` or
        `cheaper`. `stream_text` has models' text streamed from the first call on. `answers` are those to what its
        steps will ask, by step (`ask#2`: to its second question), so that nobody need be there; with
        `answer_defaults`, a question that has a default is answered with it. `allow_tools` are patterns of the tools
        that this run and those that it starts may use, of those that their plans allow. `webhook` is an address that
        a worker tells of the run's end, signed by `webhook_secret` (`secret://NAME`), with `webhook_values` of its
        outputs too.

        Raises:
            PlanInvalid: the pipeline cannot run.
            InputsInvalid: the inputs do not fit it, or the tenant or budget is none.
            RunConflict: the idempotency key stands for another submission.
            StoreUnavailable: Redis cannot be reached.
        """
        plan = plan_of(pipeline)
        submission = Submission(
            run=run_id_for(plan, idempotency_key),
            plan=plan,
            inputs=plan.bind(inputs or {}),
            tags=tuple(tags),
            tenant=checked_tenant(tenant),
            budget=run_budget(budget_usd, on_breach),
            deltas=stream_text,
            answers=told(plan, answers or {}, answer_defaults),
            allow_tools=None if allow_tools is None else tuple(allow_tools),
            webhook=_webhook(webhook, webhook_secret, webhook_values),
            idempotency_key=idempotency_key,
        )
        return self._begin(submission)

    def rerun(
        self,
        run: str,
        steps: Sequence[str] = (),
        inputs: Mapping[str, Json] | None = None,
        pipeline: Pipeline | None = None,
    ) -> Rerun:
        """What `fork` with the same arguments would keep of a run and do again; changes nothing.

        Raises:
            RunNotFound, PlanInvalid, InputsInvalid: as `fork`.
        """
        plan, bound = self._changed(run, inputs, pipeline)
        rerun = self._forks().preview(run, plan, bound, steps)
        priced = [each for each in self.estimate(plan, bound).steps if each.step in rerun.again]
        return rerun.model_copy(update={"priced": tuple(priced)})

    def retry(
        self,
        run: str,
        steps: Sequence[str] = (),
        *,
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
    ) -> Run:
        """Try again what failed of a run that has ended, and these steps: as a new run that keeps all other results.

        Asking twice gives the same run. Its budget is that of the run before, unspent, unless one is given.

        Raises:
            RunNotFound: the store has no such run.
            InputsInvalid: it has not ended, has no such step, or has succeeded and no step is named.
        """
        from orchestrator_client.reruns.forks import check_retriable

        record, (plan, bound) = self._store.record(run), self._changed(run, None, None)
        check_retriable(record, steps)
        into = retry_run_id(plan.id, run, steps)
        if into in record.forks:
            return self._run(into)
        submission, _ = self._forks().prepare(run, into, plan, bound, steps)
        budget = run_budget(budget_usd, on_breach) or submission.budget
        return self._begin(submission.model_copy(update={"budget": budget}))

    def fork(
        self,
        run: str,
        steps: Sequence[str] = (),
        inputs: Mapping[str, Json] | None = None,
        *,
        pipeline: Pipeline | None = None,
        budget_usd: Decimal | float | str | None = None,
        on_breach: str = "fail",
        idempotency_key: str | None = None,
    ) -> Run:
        """Run an ended run once more from these steps on, with other `inputs`, or as another `pipeline`: as a new run.

        It keeps the result of every step that succeeded, is the same, and has nothing before it or in its inputs that
        changes; `rerun` says which. Inputs that are not given are those of the run before.

        Raises:
            RunNotFound: the store has no such run.
            PlanInvalid: the pipeline cannot run.
            InputsInvalid: the run has not ended or has no such step, or the inputs do not fit.
            RunConflict: the idempotency key stands for another submission.
        """
        plan, bound = self._changed(run, inputs, pipeline)
        into = run_id_for(plan, idempotency_key)
        submission, _ = self._forks().prepare(run, into, plan, bound, steps)
        update = {"budget": run_budget(budget_usd, on_breach) or submission.budget, "idempotency_key": idempotency_key}
        return self._begin(submission.model_copy(update=update))

    def _forks(self) -> Forks:
        from orchestrator_client.reruns.forks import Forks

        return Forks(self._stores)

    def _changed(
        self, run: str, inputs: Mapping[str, Json] | None, pipeline: Pipeline | None
    ) -> tuple[Plan, dict[str, Json]]:
        """The plan and the inputs of a run that keeps results of another."""
        before = self._stores.variables.inputs(run)
        plan = self._store.plan(run) if pipeline is None else plan_of(pipeline)
        return plan, plan.bind({**before, **(inputs or {})})

    def _begin(self, submission: Submission) -> Run:
        """Record a run, and tell the fleet."""
        if self._fleet is not None:
            from orchestrator_client.local import queues_of

            self._fleet.serve(queues_of(submission.plan))
        with submitting(submission.plan.id) as traceparent:
            if self._store.submit(submission.model_copy(update={"traceparent": traceparent})):
                self._announcer.announce(submission.run)
        return self._run(submission.run)

    @property
    def schedules(self) -> Schedules:
        """Pipelines that are run at certain times: add, list, pause, resume and remove them."""
        return Schedules(self._stores, self._begin)

    def run(self, run: str) -> Run:
        """A run by its id.

        Raises:
            RunNotFound: the store has no such run.
        """
        self._store.record(run)
        return self._run(run)

    def runs(
        self, *, state: RunState | None = None, pipeline: str | None = None, tag: str | None = None, limit: int = 50
    ) -> list[RunRecord]:
        """Records of runs, newest first, that match all that is given."""
        found: list[RunRecord] = []
        for offset in range(0, 100_000, 500):
            page = self._store.runs(offset, 500)
            found += [record for record in page if _matches(record, state, pipeline, tag)]
            if len(found) >= limit or not page:
                break
        return found[:limit]

    def questions(self) -> list[AskedQuestion]:
        """What all open runs ask and nobody has answered yet, oldest first.

        Weakness: it looks at every run that is listed, 500 in two round trips.
        """
        found: list[AskedQuestion] = []
        for offset in range(0, 100_000, 500):
            if not (page := self._store.runs(offset, 500)):
                break
            found += self._questions.standing([r.run for r in page if r.state is RunState.RUNNING])
        return sorted(found, key=lambda asked: asked.asked_ms)

    def verify(self, run: str) -> Judgement:
        """Whether the history of a run that has ended is sound: each promise, and where it was broken.

        Raises:
            RunNotFound: the store has no such run.
            InputsInvalid: it has not ended yet.
        """
        from orchestrator_client.client.facts import history_of
        from orchestrator_client.soundness import judge

        return judge(history_of(self._stores, run))

    def estimate(self, pipeline: Pipeline, inputs: Mapping[str, Json] | None = None) -> Estimate:
        """What a run would use, cost and take, as ranges; from earlier runs where Redis can be reached and has any.

        Raises:
            PlanInvalid: the pipeline cannot run.
            InputsInvalid: the inputs do not fit it.
        """
        from orchestrator_client.estimate import estimate

        plan = plan_of(pipeline)
        steps = [step.id for step in plan.steps]
        try:
            histories, gates = (
                self._stores.money.histories(plan.id, steps),
                {view.scope: view for view in self.limits()},
            )
        except StoreUnavailable as error:
            return estimate(plan, inputs or {}, load_project(), unread=str(error))
        return estimate(plan, inputs or {}, load_project(), histories, gates)

    def unserved(self, pipeline: Pipeline) -> list[str]:
        """Queues that a pipeline needs and no worker serves now; its steps there wait until one does.

        Raises:
            PlanInvalid: the pipeline cannot run.
        """
        from orchestrator_client.local import queues_of

        workers = self.workers()
        return [queue for queue in sorted(queues_of(plan_of(pipeline))) if not serving(workers, queue)]

    def keyless(self, pipeline: Pipeline) -> list[str]:
        """What workers miss of the keys of providers that a pipeline names: its steps fail there without a request.

        Raises:
            PlanInvalid: the pipeline cannot run.
        """
        from orchestrator_client.local import providers_of

        workers, project, found = self.workers(), load_project(), list[str]()
        for provider in sorted(providers_of(plan_of(pipeline))):
            keys = variables_of(provider, project)
            for worker in serving(workers, model_queue(provider)):
                # What a worker says of a key names its variable; it may serve other providers too.
                said = [missing for missing in worker.missing_keys if any(key in missing for key in keys)]
                found += [f"{worker.name}: {missing}" for missing in said]
        return found

    def _run(self, run: str) -> Run:
        return Run(self._stores, run, self._questions, *([self._fleet.check] if self._fleet else []))

    def close(self) -> None:
        """Give up the connections, and end the embedded fleet if there is one."""
        self._announcer.close()
        self._stores.close()
        if self._fleet is not None:
            self._fleet.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _webhook(url: str | None, secret: str, values: bool) -> Webhook | None:
    """The webhook that a caller named, or else this machine's configuration."""
    if url is None:
        section = load_project().webhooks
        return checked_webhook(section.url, section.secret, section.values)
    return checked_webhook(url, secret, values)


def _matches(record: RunRecord, state: RunState | None, pipeline: str | None, tag: str | None) -> bool:
    return (
        (state is None or record.state is state)
        and (pipeline is None or record.pipeline == pipeline)
        and (tag is None or tag in record.tags)
    )
