"""Pipeline files of the predecessor with branches and loops: each does what its author expects."""

from __future__ import annotations

import json
import re

import pytest

from tests.command_line import Shell
from tests.integration.predecessor import HITS, Models, Predecessor, Reply, needs_files, status_of

pytestmark = needs_files

TOPICS = ["artificial intelligence", "climate change", "quantum computing", "renewable energy"]


@pytest.fixture
def files(shell: Shell) -> Predecessor:
    return Predecessor(shell)


def found(pattern: str, text: str) -> str:
    """What a pattern finds in a text, where it must."""
    match = re.search(pattern, text)
    assert match is not None, f"no {pattern!r} in {text!r}"
    return match[1]


def test_for_loop(files: Predecessor) -> None:
    ordinal = r"the (\w+) (?:and final )?test file"
    replies = {
        "Transform the following": lambda prompt: f"short {found(ordinal, prompt)}, {found(r'analysis: (.+)', prompt)}",
        "for summary": lambda prompt: f"about {found(ordinal, prompt)}",
    }
    with Models(replies) as models:
        files.ask(models)
        document = files.run("control_flow_for_loop.yaml")
    folder = "examples/outputs/control_flow_for_loop"
    assert files.names(f"{folder}/processed_*") == {f"processed_file{number}.txt" for number in (1, 2, 3)}
    for index, (word, size) in enumerate([("first", 129), ("second", 135), ("third", 148)]):
        text = files.text(f"{folder}/processed_file{index + 1}.txt")
        assert f"File index: {index}\nIs first: {index == 0}\nIs last: {index == 2}\n" in text
        assert f"{size} bytes" in text
        assert f"## Analysis\nabout {word}\n" in text
        assert f"short {word}, about {word}" in text
    order = document["execution_order"]
    saved = [order.index(f"process_files[{index}].save_file") for index in range(3)]
    assert order.index("create_summary") > max(saved)
    assert "Total files processed: 3" in files.text(f"{folder}/summary.md")
    assert document["outputs"]["summary_file"] == f"{folder}/summary.md"


def test_while_loop(files: Predecessor) -> None:
    guess = "What number should we guess next?"
    with Models({guess: lambda prompt: f"Try {90 + int(found(r'Iteration: (.+)', prompt))}!"}) as models:
        files.ask(models)
        document = files.run("control_flow_while_loop.yaml")
        prompts = models.prompts(guess)
    folder = "examples/outputs/control_flow_while_loop"
    guesses = [str(90 + attempt) for attempt in range(10)]
    assert [found(r"Current guess: (\d+)", prompt) for prompt in prompts] == ["0", *guesses[:-1]]
    assert files.names(f"{folder}/logs/*") == {f"attempt_{attempt}.txt" for attempt in range(10)}
    for attempt, before in enumerate(["0", *guesses[:-1]]):
        log = files.text(f"{folder}/logs/attempt_{attempt}.txt")
        assert f"Iteration: {attempt}\nPrevious guess: {before}\nNew guess: {guesses[attempt]}\nTarget: 42\n" in log
    assert "Target number: 42\nTotal attempts: 10\n" in files.text(f"{folder}/result.txt")
    assert document["outputs"]["attempts"] == 10


@pytest.mark.parametrize(
    ("content", "step", "kind"),
    [
        ("A few words.", "expand_small", "Expanded"),
        ("", "handle_empty", "Empty file"),
        ("é" * 600, "compress_large", "Compressed"),
    ],
)
def test_conditional(files: Predecessor, content: str, step: str, kind: str) -> None:
    branches = {"compress_large": "Text to summarize", "expand_small": "Text to expand", "handle_empty": "was empty"}
    (files.folder / "data" / "input.txt").write_text(content, encoding="utf-8")
    with Models({words: f"reply of {branch}" for branch, words in branches.items()}) as models:
        files.ask(models)
        document = files.run("control_flow_conditional.yaml", "-i", "input_file=data/input.txt")
    assert [branch for branch in branches if status_of(document, branch) == "completed"] == [step]
    assert [branch for branch in branches if status_of(document, branch) == "skipped"] == [
        branch for branch in branches if branch != step
    ]
    size = len(content.encode())
    saved = files.text("examples/outputs/control_flow_conditional/processed_input.md")
    assert f"Original size: {size} bytes\nProcessing type: {kind}\n" in saved
    assert f"reply of {step}" in saved
    assert document["outputs"]["original_size"] == size
    assert document["outputs"]["processed_content"] == f"reply of {step}"


@pytest.mark.parametrize("verdict", ["improve", "acceptable"])
@pytest.mark.parametrize("languages", [["es", "fr", "de"], ["es", "fr"]])
def test_advanced(files: Predecessor, verdict: str, languages: list[str]) -> None:
    text, better = "This is a sample text for processing.", "A sample text, now better."
    replies: dict[str, Reply] = {
        'Respond with either "improve" or "acceptable"': verdict,
        "Improve the following text": better,
        "Output ONLY this text": lambda prompt: prompt.strip().splitlines()[-1].strip(),
        "Assess the quality": lambda prompt: f"good {found(r'English to (..):', prompt)}",
        "Translate the following text": lambda prompt: f"now in {found(r'text to (..)[.]', prompt)}",
    }
    with Models(replies) as models:
        files.ask(models)
        document = files.run("control_flow_advanced.yaml", "-i", f"languages={json.dumps(languages)}")
        assert len(models.calls("Translate the following text")) == len(languages)
    folder, improved, detailed = "examples/outputs/control_flow_advanced", verdict == "improve", len(languages) > 2
    stem = "this-is-a-sample-text-for-processing"
    assert files.names(f"{folder}/translations/*") == {f"{stem}_{language}.md" for language in languages}
    for language in languages:
        saved = files.text(f"{folder}/translations/{stem}_{language}.md")
        assert saved.startswith(f"# Translation to {language.upper()}\n")
        assert f"now in {language}\n" in saved
        assert f"good {language}" in saved
    assert status_of(document, "enhance_text") == ("completed" if improved else "skipped")
    assert status_of(document, "create_detailed_summary") == ("completed" if detailed else "skipped")
    assert status_of(document, "create_brief_summary") == ("skipped" if detailed else "completed")
    assert document["outputs"]["enhanced"] == (better if improved else "N/A")
    assert document["outputs"]["final_text"] == (better if improved else text)
    report = files.text(f"{folder}/{stem}_report.md")
    assert ("Enhanced version was created" in report) == improved
    assert ("Original text was sufficient" in report) != improved


def test_parallel_processing(files: Predecessor) -> None:
    topic = r'research on "(.+) latest developments'
    replies = {
        "Analyze research on": lambda prompt: f'findings on "{found(topic, prompt)}"',
        "Cross-validate these": lambda prompt: f"validated: {found(r'(findings on .+)', prompt)}",
    }
    with Models(replies) as models:
        files.ask(models)
        document = files.run("parallel_processing.yaml")
        searches = [request.path for request in models.requests if request.method == "GET"]
        analyses = models.calls("Analyze research on")
    assert len(searches) == 4
    assert {request.body["max_output_tokens"] for request in analyses} == {800}
    assert [len(models.prompts(f'on "{name} latest developments research"')) for name in TOPICS] == [1] * 4
    saved = json.loads(files.text("parallel_analysis_4_topics.json"))
    assert saved["metadata"]["deep_analysis"] is True
    assert saved["topics_analyzed"] == TOPICS
    assert [entry["topic"] for entry in saved["individual_analyses"]] == TOPICS
    assert [entry["analysis"] for entry in saved["individual_analyses"]] == [f'findings on "{name}"' for name in TOPICS]
    assert [entry["sources_count"] for entry in saved["individual_analyses"]] == [HITS] * 4
    assert all(entry["validation"] == f"validated: {entry['analysis']}" for entry in saved["individual_analyses"])
    assert document["outputs"]["processing_successful"] is True
    assert document["outputs"]["topics_processed"] == 4
