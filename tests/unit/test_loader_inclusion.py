"""Text that a pipeline takes from other files: where it is looked for, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator_client.contract.errors import PlanInvalid
from orchestrator_client.loader import load
from orchestrator_client.loader.text.inclusion import INCLUDED_BYTES, LEVELS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, with the pipeline's own beside it."""
    for name in ("work/prompts", "pipelines/templates", "pipelines/sub"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def text_of(folder: Path, text: str) -> str:
    """What a step's text is once all is included."""
    file = folder / "pipelines" / "p.yaml"
    indented = "\n".join(f"        {line}" for line in text.splitlines())
    file.write_text(f"steps:\n  - id: a\n    action: echo\n    parameters:\n      text: |-\n{indented}\n")
    return str(load(file).plan.steps[0].parameters["text"])


@pytest.mark.parametrize(
    ("at", "mark"),
    [
        ("pipelines/a.md", "{{ file:a.md }}"),
        ("pipelines/a.md", "{{file: 'a.md'}}"),
        ("pipelines/a.md", "<< a.md >>"),
        ("pipelines/templates/a.md", "<<a.md>>"),
        ("pipelines/sub/a.md", "<< sub/a.md >>"),
        ("work/a.md", "<< ./a.md >>"),
        ("work/prompts/a.md", "{{ file:a.md }}"),
    ],
)
def test_where_a_file_is_looked_for(folder: Path, at: str, mark: str) -> None:
    (folder / at).write_text("found")
    assert text_of(folder, f"it is {mark}.") == "it is found."


def test_what_is_included_is_as_if_it_stood_there(folder: Path) -> None:
    (folder / "pipelines/a.md").write_text("a: {{ file:b.md }}, {{ who }}")
    (folder / "pipelines/b.md").write_text("b")
    assert text_of(folder, "<< a.md >>") == "a: b, {{ who }}"


def test_what_only_looks_like_it_stays(folder: Path) -> None:
    assert text_of(folder, "1 << 2 >> 1, cat << EOF >> x, {{ files }}") == "1 << 2 >> 1, cat << EOF >> x, {{ files }}"


@pytest.mark.parametrize("key", ["command", "code"])
def test_programs_have_their_own_angles(folder: Path, key: str) -> None:
    tool = "terminal" if key == "command" else "python-executor"
    file = folder / "p.yaml"
    file.write_text(f"steps: [{{id: a, tool: {tool}, parameters: {{{key}: 'a << b.c >> d'}}}}]")
    assert load(file).plan.steps[0].parameters[key] == "a << b.c >> d"


class TestRefused:
    @pytest.mark.parametrize(
        ("mark", "message"),
        [
            ("{{ file:none.md }}", r"p.yaml:7:1  there is no file 'none.md' to include; put it beside the pipeline"),
            ("{{ file:/etc/hostname }}", "there is no file '/etc/hostname'"),
            ("{{ file:../outside.md }}", "leads out of the pipeline's folder"),
            ("<< link.md >>", "'link.md' leads out of the pipeline's folder"),
            ("<< round.md >>", "circle: round.md → other.md → round.md"),
            ("<< latin.md >>", "'latin.md' is not UTF-8 text"),
            ("<< key.md >>", "'key.md' holds what looks like a secret"),
            ("{{ file:{{ name }}.md }}", "the path of an included file cannot be a template"),
        ],
    )
    def test_with_its_line(self, folder: Path, mark: str, message: str) -> None:
        here = folder / "pipelines"
        (folder / "outside.md").write_text("outside")
        (here / "link.md").symlink_to(folder / "outside.md")
        (here / "round.md").write_text("<< other.md >>")
        (here / "other.md").write_text("<< round.md >>")
        (here / "latin.md").write_bytes(b"caf\xe9")
        (here / "key.md").write_text("sk-proj-" + "a1B2" * 12)
        with pytest.raises(PlanInvalid, match=message):
            text_of(folder, f"one\n{mark}")

    def test_a_file_that_is_not_read_like_one(self, folder: Path) -> None:
        os.mkfifo(folder / "pipelines" / "pipe.md")
        with pytest.raises(PlanInvalid, match=r"there is no file 'pipe.md'"):
            text_of(folder, "<< pipe.md >>")

    def test_deeper_than_it_may_be(self, folder: Path) -> None:
        for level in range(LEVELS + 1):
            (folder / "pipelines" / f"f{level}.md").write_text(f"<< f{level + 1}.md >>")
        with pytest.raises(PlanInvalid, match="deeper than 10 levels"):
            text_of(folder, "<< f0.md >>")

    def test_files_that_multiply(self, folder: Path) -> None:
        for level in range(LEVELS - 1):
            (folder / "pipelines" / f"f{level}.md").write_text(f"<< f{level + 1}.md >>" * 20)
        (folder / "pipelines" / f"f{LEVELS - 1}.md").write_text("x")
        with pytest.raises(PlanInvalid, match=f"more than {INCLUDED_BYTES:,} bytes"):
            text_of(folder, "<< f0.md >>")
