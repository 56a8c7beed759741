"""Pipeline files of the predecessor that leave things to a model: each does what its author expects."""

from __future__ import annotations

import json

import pytest

from tests.command_line import Shell
from tests.integration.predecessor import Models, Predecessor, needs_files, prompt_of, status_of

pytestmark = needs_files

SOURCES = [
    {"name": name, "url": f"https://example.org/{number}", "type": "report"}
    for number, name in enumerate(("McKinsey", "Nature Medicine", "HIMSS"))
]
CLAIMS = ["AI saves money.", "AI sees cancer.", "AI folds proteins.", "AI is hard to buy."]


@pytest.fixture
def files(shell: Shell) -> Predecessor:
    return Predecessor(shell)


def test_data_processing(files: Predecessor) -> None:
    formatted = json.dumps({"value_sum": 34992.5})
    with Models({"clean JSON format": formatted, "brief processing summary": "Five records."}) as models:
        files.ask(models)
        document = files.run("data_processing.yaml")
        assert [str(34992.5) in prompt for prompt in models.prompts("clean JSON format")] == [True]
    folder = "examples/outputs/data_processing"
    report = files.text(f"{folder}/processing_report.md")
    assert "Validation Status: Passed" in report
    assert "Five records." in report
    assert json.loads(files.text(f"{folder}/processed_data.json")) == {"value_sum": 34992.5}
    # Of five products three are active: 14,999.50 + 9,998 + 9,995.
    assert document["outputs"]["transformed"]["data"] == {"value_sum": 34992.5}
    assert document["outputs"]["validated"] is True


def test_fact_checker(files: Predecessor) -> None:
    replies = {
        "list of sources to verify": json.dumps(SOURCES),
        "claims that need fact-checking": json.dumps(CLAIMS),
        "extract all sources": json.dumps({"sources": SOURCES}),
        "Extract all verifiable": json.dumps({"claims": CLAIMS}),
        "professional fact-checking report": "All of it is so.",
    }
    with Models(replies) as models:
        files.ask(models)
        document = files.run("fact_checker.yaml", "-i", "document_source=data/test_article.md")
        for source in SOURCES:
            assert len(models.prompts(f"Name: {source['name']}\nURL: {source['url']}\nType: report\n")) == 1
        for number, claim in enumerate(CLAIMS):
            assert len(models.prompts(f"specific claim: {claim}\nClaim number: {number}\n")) == 1
        assert (len(models.calls("Verify this source")), len(models.calls("Verify this specific"))) == (3, 4)
        (report,) = models.prompts("professional fact-checking report")
        assert "3 sources identified" in report
        assert "4 claims identified" in report
    saved = files.text("examples/outputs/fact_checker/fact_check_report.md")
    assert "**Document:** data/test_article.md" in saved
    assert saved.rstrip().endswith("All of it is so.")
    assert document["outputs"] == {"fact_check_report": "examples/outputs/fact_checker/fact_check_report.md"}
    order = document["execution_order"]
    assert order.index("generate_report") > max(order.index("verify_sources"), order.index("verify_claims"))


@pytest.mark.parametrize("improves", ["true", "false"])
def test_auto_tags_demo(files: Predecessor, improves: str) -> None:
    replies = {
        "Should we improve if score": improves,
        "how many tokens needed": "I would take 400 tokens.",
        "what processing approach": "expert",
        "What output format works best": "markdown",
        "choose detail level": "comprehensive",
        "What quality criteria": "accuracy",
        "determine its type": "technical",
        "Process this content using the expert approach": "the analysis",
        "Assess the quality": "Score: 6",
        "Improve this analysis": "the better analysis",
        "Create a summary report": "the report",
    }
    with Models(replies) as models:
        files.ask(models)
        document = files.run("auto_tags_demo.yaml")
        asked = [words for prompt in models.prompts() for words in replies if words in prompt]
        (analysis,) = models.calls("Process this content using the expert approach")
        (report,) = models.calls("Create a summary report")
    decisions = [words for words in asked if words in list(replies)[:6]]
    first, second, *both, criteria, condition = decisions
    assert (first, second) == ("what processing approach", "What output format works best")
    assert sorted(both) == ["choose detail level", "how many tokens needed"]
    assert (criteria, condition) == ("What quality criteria", "Should we improve if score")
    assert analysis.body["max_output_tokens"] == 400
    assert analysis.body["model"] == "gpt-4o-mini"
    assert "in markdown format" in prompt_of(analysis)
    final = "the better analysis" if improves == "true" else "the analysis"
    assert status_of(document, "improve_if_needed") == ("completed" if improves == "true" else "skipped")
    for line in ("Content Type: technical", "Detail Level: comprehensive", "Token Allocation: 400"):
        assert line in prompt_of(report)
    assert document["outputs"]["final_analysis"] == final
    assert document["outputs"]["processing_strategy"] == "expert"
    assert document["outputs"]["output_format"] == "markdown"
    assert document["outputs"]["demo_report"] == "the report"
