"""Whatever stands on the command line: an exit code of ours, and no traceback."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from orchestrator_client.cli import main
from orchestrator_client.cli.faults import ExitCode
from tests.fuzz import fuzzed

STARTS = {"up", "worker", "flower", "run", "tools"}
"""Commands that start processes, or call a tool."""
COMMANDS = sorted(main.commands.keys() - STARTS)
OPTIONS = sorted(
    {name for command in COMMANDS for parameter in main.commands[command].params for name in parameter.opts}
    | {"--help", "--nothing", "-x", "--", "-"}
)
VALUES = [
    *("plan.yaml", "missing.yaml", ".", "/dev/zero", "", "a=b", "=b", "a", "n=[", "0", "-1", "1e999", "9" * 30, "nan"),
    *(
        "json",
        "{}",
        "[[" * 2000,
        "\x1b[31m",
        "\ud800",
        "run_1",
        "../..",
        "a\nb",
        "redis://nowhere.invalid:1",
        "http://x",
    ),
]
NOWHERE = "unix:///nonexistent/redis.sock"


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A folder with one plan."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "plan.yaml").write_text("steps: [{id: a, tool: terminal, parameters: {command: date}}]")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)


words = st.one_of(st.sampled_from(OPTIONS), st.sampled_from(VALUES), st.text(max_size=12))


@fuzzed
@given(st.sampled_from(COMMANDS), st.lists(words, max_size=6))
def test_whatever_is_written_ends_with_a_code(command: str, arguments: list[str]) -> None:
    result = CliRunner(env={"ORCHESTRATOR_REDIS_URL": NOWHERE}).invoke(main, [command, *arguments], input="")
    assert result.exit_code in set(ExitCode) - {ExitCode.UNEXPECTED}, result.output
    assert "Traceback" not in result.output
