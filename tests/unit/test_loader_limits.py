"""Files that would cost a reader dear: what is no file, what is too much, and anything at all."""

from __future__ import annotations

import os
import resource
import socket
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator_client.contract import caps
from orchestrator_client.contract.errors import PlanInvalid, Problem
from orchestrator_client.loader import load, loads, problems

GOOD = "steps:\n- {id: a, tool: terminal, parameters: {command: date}}\n"
TERMINAL = "tool: terminal, parameters: {command: date}"


def problems_of(text: str | bytes) -> list[Problem]:
    with pytest.raises(PlanInvalid) as caught:
        loads(text)
    return caught.value.problems


def refusal_of(text: str | bytes) -> str:
    with pytest.raises(PlanInvalid) as caught:
        loads(text)
    return str(caught.value)


def step(keys: str) -> str:
    """A file whose second line is a step with these keys."""
    return f"steps:\n- {{id: a, {keys}}}\n- {{id: fetch, tool: terminal, parameters: {{command: date}}}}\n"


class TestFiles:
    def test_no_file(self, tmp_path: Path) -> None:
        self.refused(tmp_path / "none.yaml", "unreadable", "No such file")

    def test_a_directory(self, tmp_path: Path) -> None:
        self.refused(tmp_path, "not-a-file", "not a regular file but a directory")

    def test_a_fifo_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        self.refused(tmp_path / "fifo", "not-a-file", "a FIFO")

    def test_a_device(self) -> None:
        self.refused(Path("/dev/zero"), "not-a-file", "a device")

    def test_a_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
            self.refused(Path("s"), "unreadable", "cannot open the plan")

    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        os.symlink(tmp_path / "b", tmp_path / "a")
        os.symlink(tmp_path / "a", tmp_path / "b")
        self.refused(tmp_path / "a", "unreadable", "symbolic links")

    def test_a_name_with_a_nul(self) -> None:
        self.refused(Path("a\0b"), "unreadable", "null")

    def test_a_file_that_is_too_large_is_not_parsed(self, tmp_path: Path) -> None:
        with (tmp_path / "big.yaml").open("wb") as file:
            file.truncate(caps.PLAN_BYTES * 1000)
        self.refused(tmp_path / "big.yaml", "too-large", "larger than 4,194,304 bytes")

    @staticmethod
    def refused(path: Path, code: str, words: str) -> None:
        with pytest.raises(PlanInvalid) as caught:
            load(path)
        assert [problem.code for problem in caught.value.problems] == [code]
        assert words in str(caught.value)


def laughs() -> str:
    """Nine levels of nine aliases each: 9⁹ nodes, were they ever expanded."""
    levels = [f"{'abcdefghij'[i]}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]" for i in range(1, 10)]
    return "\n".join(["a: &l0 [x]", *levels])


BOMBS = {
    "aliases in aliases": (laughs(), "anchor"),
    "brackets": ("[" * 1_000_000, "too-deep"),
    "braces": ("{a: " * 500_000, "too-deep"),
    "indentation": ("".join(" " * depth + "a:\n" for depth in range(1000)), "too-deep"),
    "dashes": ("- " * 500_000, "too-deep"),
    "anchors": ("name: [" + "&a x, " * 200_000 + "x]", "anchor"),
    "tags": ("name: [" + "!x y, " * 200_000 + "x]", "tag"),
    "duplicates": ("a: 1\n" * 500_000, "duplicate-key"),
    "misspelt dependencies": (
        step(f"{TERMINAL}, dependencies: [{', '.join(f'fetch{i}' for i in range(20_000))}]"),
        "unknown-step",
    ),
    "a huge template": (step("tool: terminal, parameters: {command: '" + "{{ x }}" * 500_000 + "'}"), "template"),
    "parentheses": (step("tool: terminal, parameters: {command: '{{ " + "(" * 100_000 + " }}'}"), "template"),
    "open tags": ("steps:\n- {id: a, action: generate}\n  x:\n" + "   <AUTO>\n" * caps.PLAN_TAGS, "yaml"),
    "open tags in a line": ("steps: " + "<AUTO> " * caps.PLAN_TAGS, "wrong-type"),
    "tags in tags": ("steps: " + "<AUTO>" * caps.PLAN_TAGS + "x" + "</AUTO>" * caps.PLAN_TAGS, "wrong-type"),
    "too many tags": ("steps: " + "<AUTO>" * 500_000, "too-large"),
    "dollars": (step("tool: terminal, parameters: {command: '" + "{{ $" * 500_000 + "'}"), "template"),
    "jumps": (
        "steps:\n"
        + "".join(f"- {{id: s{i}, {TERMINAL}, on_failure: e{i}}}\n" for i in range(2_000))
        + "".join(f"- {{id: e{i}, {TERMINAL}}}\n" for i in range(2_000)),
        "too-large",
    ),
    "unknown names in bodies": (
        "steps:\n"
        + "".join(f"- {{id: s{i}, {TERMINAL}}}\n" for i in range(5_000))
        + "- id: each\n  for_each: [1]\n  steps:\n"
        + "".join(
            f"  - {{id: b{i}, tool: terminal, parameters: {{command: '{{{{ bb{i} }}}}'}}}}\n" for i in range(5_000)
        ),
        "unknown-step",
    ),
    "steps in loops": (
        "steps:\n- id: each\n  for_each: [1]\n  steps:\n" + "".join(f"  - {{id: b{i}}}\n" for i in range(caps.STEPS)),
        "too-large",
    ),
    "too many steps": ("steps: [" + "{}, " * (caps.STEPS + 1) + "{}]", "too-large"),
    "too much of everything": ("x" * (caps.PLAN_BYTES + 1), "too-large"),
    "secrets": ("a: [" + "AKIAIOSFODNN7EXAMPLE, " * 100_000 + "x]", "secret"),
}


class TestBombs:
    @pytest.mark.parametrize(("text", "code"), BOMBS.values(), ids=BOMBS.keys())
    def test_a_bomb_is_refused_within_time_and_memory(self, text: str, code: str) -> None:
        """In 200 MB more than before; the minute only tells a bomb that went off from a slow machine."""
        before_seconds, before_kb = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert code in {problem.code for problem in problems_of(text)}
        assert time.process_time() - before_seconds < 60
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 200 * 1024

    def test_more_nodes_than_a_plan_may_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(caps, "PLAN_NODES", 1000)
        assert [problem.code for problem in problems_of("a: [" + "1, " * 2000 + "1]")] == ["too-large"]

    def test_more_templates_than_a_plan_may_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(caps, "PLAN_TEMPLATES", 10)
        command = ", ".join(f'"{{{{ output_path }}}}{i}"' for i in range(20))
        found = problems_of(step(f"tool: terminal, parameters: {{command: [{command}]}}"))
        assert [problem.message for problem in found] == ["more than 10 templates"]

    def test_time_that_others_had_the_processor_is_not_a_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(problems, "RENDER_SECONDS", 0.05)
        of_a_file = problems.Problems("f.yaml")
        assert of_a_file.may_render()
        time.sleep(0.1)
        assert of_a_file.may_render()
        while of_a_file.may_render():
            pass

    def test_more_dependencies_than_a_plan_may_have(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(caps, "EDGES", 0)
        assert [problem.code for problem in problems_of(step(f"{TERMINAL}, dependencies: [fetch]"))] == ["too-large"]


YAML = [*"{}[]'\"\\\n\t?#a1~:-\x85\u2028", "&a ", "*a", "<<: ", "!!", "|\n", ">\n", "  ", "? ", "---\n", "%YAML"]
DIALECT = ["steps:\n", "- id: a\n", "  tool: terminal\n", "outputs:\n  x: ", "retry: ", "condition: ", "if: ", GOOD]
TEMPLATES = ["{{ ", " }}", "{% ", "steps.a", "<AUTO>", "</AUTO>", "$item", "dependencies: ", "  parameters: "]
CONTROL = ["  for_each: [1]\n", "  while: x\n", "  until: ", "  steps:\n  - id: b\n    tool: terminal\n", "  goto: a\n"]
ERRORS = [
    "  on_error: ",
    "  on_failure: b\n",
    "  action_loop:\n  - ",
    "  create_parallel_queue:\n    on: ",
    "  action: ",
]
FRAGMENTS = st.sampled_from([*YAML, *DIALECT, *TEMPLATES, *CONTROL, *ERRORS])


class TestAnything:
    @settings(max_examples=400)
    @given(st.one_of(st.lists(FRAGMENTS, max_size=25).map("".join), st.text(max_size=60), st.binary(max_size=60)))
    def test_whatever_the_text_it_loads_or_is_refused(self, text: str | bytes) -> None:
        with suppress(PlanInvalid):
            loads(text)
            return
        shown = refusal_of(text)
        assert shown
        assert shown.replace("\n", "").isprintable()
