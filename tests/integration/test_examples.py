"""The examples that ask a model do what they say, against a model of ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.command_line import ROOT, Shell
from tests.integration.predecessor import Models

POOR = "Ein Lauf stirbt nie."


def _draft(prompt: str) -> str:
    """The first draft in German is poor."""
    (language,) = re.findall(r"Translate into (\w+)", prompt)
    return POOR if language == "German" and "not good enough" not in prompt else f"in good {language}"


def test_translate_each(shell: Shell) -> None:
    shutil.copyfile(ROOT / "examples" / "translate_each.yaml", shell.folder / "plan.yaml")
    judged = {"Translate into": _draft, "Is this good": lambda prompt: "Poor." if POOR in prompt else "Good."}
    with Models(judged) as models:
        shell.environment |= {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": models.url}
        validated = shell.run("validate", "plan.yaml", "--json")
        ended = shell.run("run", "plan.yaml", "-o", "result.json", seconds=240)
        retried = models.prompts("not good enough yet")
        drafts = models.calls("Translate into")
    assert validated.code == 0, validated.said
    assert ended.code == 0, ended.said
    assert [POOR in prompt for prompt in retried] == [True]
    assert len(drafts) == 4
    folder = "outputs/translate_each"
    for position, language in enumerate(("French", "German", "Spanish"), 1):
        text = (shell.folder / folder / f"{language.lower()}.txt").read_text()
        assert text == f"{language} ({position} of 3): in good {language}\n"
    page = (shell.folder / folder / "index.md").read_text()
    assert page.endswith("- [French](french.txt)\n- [German](german.txt)\n- [Spanish](spanish.txt)\n")
    outputs = json.loads((shell.folder / "result.json").read_text())["outputs"]
    assert outputs["files"] == [f"{folder}/{language}.txt" for language in ("french", "german", "spanish")]
    assert outputs["page"] == f"{folder}/index.md"


def test_held_report(shell: Shell) -> None:
    shutil.copyfile(ROOT / "examples" / "held_report.yaml", shell.folder / "plan.yaml")
    url = shell.redis()
    shell.worker("w1", "-c", "2", lease_seconds=30)  # or a slow worker would be thought dead
    assert shell.run("run", "plan.yaml", "--redis", url).code == 0
    failed = shell.run("run", "plan.yaml", "-i", "title=", "-o", "result.json", "--redis", url)
    assert failed.code == 1
    document = json.loads((shell.folder / "result.json").read_text())
    assert document["steps"]["write"]["error_type"] == "QualityTooLow"
    shown = shell.run("show", document["execution_id"], "--redis", url).out
    assert "count: quality 1.00, good enough" in shown
    assert "error: fields: missing or empty: title" in shown


def test_the_briefing(tmp_path: Path) -> None:
    """A fleet of its own: sends, a sub-graph, a cycle, and an interrupt that its script answers."""
    for name in ("briefing.py", "briefing_graph.py"):
        shutil.copyfile(ROOT / "examples" / name, tmp_path / name)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ORCHESTRATOR_WORKDIR": str(tmp_path)}
    command = [sys.executable, "briefing_graph.py"]
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert "question_answered approve" in ended.stdout
    assert "step_succeeded research[2].research#0.note" in ended.stdout
    assert "step_succeeded write__cycle#2.write" in ended.stdout
    assert "write__cycle#3" not in ended.stdout
    draft = "Redis has 5 letters; Celery has 6 letters; Flower has 6 letters"
    assert ended.stdout.endswith(f"{draft}\n")
    assert [path.read_text() for path in tmp_path.rglob("briefing.txt")] == [draft]
