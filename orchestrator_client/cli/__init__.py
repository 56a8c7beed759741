"""The command line: `orchestrator`.

Only click is imported here and at the top of the commands' files; all else when a command needs it, so that `--help`
answers at once.
"""

from __future__ import annotations

import os

import click

from orchestrator_client.cli import (
    audit,
    dead,
    doctor,
    fleet,
    follow,
    limits,
    metrics,
    money,
    pausing,
    plans,
    questions,
    redis,
    removal,
    reruns,
    runs,
    schedules,
    tools,
    top,
    vars,
    verify,
    why,
)
from orchestrator_client.cli.faults import FaultyGroup

__all__ = ["main"]


@click.group(cls=FaultyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="orchestrator", prog_name="orchestrator")
def main() -> None:
    """Run pipelines of model and tool calls, here or on a fleet of workers.

    \b
    Exit codes:
      0    success
      1    the run failed or was cancelled
      2    the file, inputs, configuration, run's id or command line is invalid
      3    Redis cannot be reached, or the embedded fleet died
      124  --timeout passed, and the run goes on
      130  interrupted
    """
    if os.environ.get("ORCHESTRATOR_LOG_FORMAT"):
        import logging

        from orchestrator_client.contract.logs import formatter

        handler = logging.StreamHandler()
        handler.setFormatter(formatter("%(message)s"))
        logging.basicConfig(handlers=[handler])


for command in (
    follow.run,
    follow.watch,
    plans.validate,
    plans.plan,
    plans.schema,
    runs.submit,
    runs.show,
    runs.result,
    runs.cancel,
    pausing.pause,
    pausing.resume,
    reruns.retry,
    reruns.fork,
    removal.rm,
    schedules.schedule,
    schedules.schedules,
    runs.runs,
    vars.variables,
    why.why,
    verify.verify,
    questions.questions,
    questions.approve,
    questions.answer,
    limits.limits,
    money.cost,
    money.budget,
    money.estimate,
    audit.audit,
    dead.dead,
    tools.tools,
    fleet.up,
    fleet.worker,
    fleet.flower,
    metrics.metrics,
    doctor.doctor,
    top.top,
    redis.redis_acl,
    redis.redis_scripts,
):
    main.add_command(command)
