"""What went wrong, as one clear line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from enum import IntEnum
from io import TextIOWrapper
from typing import Any

import click

from orchestrator_client.cli.show.text import printable_lines
from orchestrator_client.contract.errors import (
    ConfigInvalid,
    FleetFailed,
    InputsInvalid,
    NoQuestion,
    OrchestratorError,
    PlanInvalid,
    RunConflict,
    RunNotFound,
    StoreUnavailable,
)

DEBUG_VARIABLE = "ORCHESTRATOR_DEBUG"
"""Set to anything but `0`: an unexpected error shows its traceback."""


class ExitCode(IntEnum):
    """Every exit code of the command line. Those above 3 follow sysexits.h, timeout(1) and the shells."""

    SUCCESS = 0
    RUN_FAILED = 1
    """The run ended without success; also when it was cancelled."""
    INVALID = 2
    """The file, the inputs, the configuration, the run's id or the command line."""
    UNAVAILABLE = 3
    """Redis cannot be reached, or the embedded fleet died."""
    UNEXPECTED = 70
    TIMED_OUT = 124
    """`--timeout` passed and the run goes on."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    """Whoever read the output has gone."""


class Fault(click.ClickException):
    """An error as the command line shows it."""

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # newer clicks declare it of the class

    def show(self, file: Any = None) -> None:
        """Write the message, if there is one, to stderr with nothing in it that a terminal would obey."""
        if self.message:
            click.echo(printable_lines(self.message), file=file, err=file is None)


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that an error ends the command with."""
    match error:
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case BrokenPipeError():
            return ExitCode.BROKEN_PIPE
        case TimeoutError():
            return ExitCode.TIMED_OUT
        case StoreUnavailable() | FleetFailed():
            return ExitCode.UNAVAILABLE
        case PlanInvalid() | InputsInvalid() | ConfigInvalid() | RunNotFound() | RunConflict() | NoQuestion():
            return ExitCode.INVALID
        case OrchestratorError():
            return ExitCode.RUN_FAILED
        case _:
            return ExitCode.UNEXPECTED


def fault_of(error: BaseException) -> Fault:
    """The fault that stands for an error."""
    code = exit_code_of(error)
    match error:
        case KeyboardInterrupt():
            return Fault("interrupted", code)
        case BrokenPipeError():
            return Fault("", code)
        case PlanInvalid():
            return Fault(str(error), code)
        case OrchestratorError() | TimeoutError():
            return Fault(f"error: {error}", code)
        case OSError(filename=name, strerror=reason) if name and reason:
            return Fault(f"error: {name}: {reason}", code)
        case _:
            hint = f"run with {DEBUG_VARIABLE}=1 for the traceback"
            return Fault(f"unexpected error: {type(error).__name__}: {error}; {hint}", code)


class FaultyGroup(click.Group):
    """A group of commands none of which ends in a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and turn whatever it raises into a fault.

        What click raises by itself, for a wrong option as for an exit code, is left to click. All else is caught
        here and nowhere below, so that every command has the same codes.
        """
        _write_anything()
        try:
            result = super().invoke(ctx)
            _flush()
            return result
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except (Exception, KeyboardInterrupt) as error:
            if os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0"):
                traceback.print_exc()
            if isinstance(error, BrokenPipeError):
                _discard_output()
            raise fault_of(error) from error


def _write_anything() -> None:
    """A stream that cannot say a character writes its escape instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush() -> None:
    """Meet a closed pipe here, where it is understood, and not at the interpreter's exit."""
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_output() -> None:
    """Let what is still buffered go nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
