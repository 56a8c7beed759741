"""Reports: what is given is set, what is not is left out, and nothing is made up."""

from datetime import datetime
from pathlib import Path

from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke
from orchestrator_worker.tools.report_generator import EXCERPT_CHARACTERS

CONTEXT = ToolContext(run="r", instance="s", attempt=1, folder=Path("/"))
HIT = {"title": "Rivers [1]", "url": "https://a.example/x", "snippet": "long\nwater"}


def report(**parameters: object) -> dict[str, str]:
    result = invoke("report-generator.generate", parameters, CONTEXT)
    assert isinstance(result, ToolResult)
    return result.output


def test_a_report_of_everything():
    made = report(
        title="On rivers",
        query="rivers",
        context="Of Europe.",
        findings=["They flow", {"n": 1}],
        recommendations="Swim.",
        search_results={"results": [HIT], "total_results": 1, "query": "rivers"},
        extraction_results={"title": "Page", "url": "https://b.example", "text": "Body."},
        quality_score=0.85,
    )
    assert made["markdown"] == (
        "# On rivers\n\n"
        f"**Query:** rivers  \n**Generated:** {made['timestamp']}  \n**Quality score:** 0.85\n\n"
        "## Context\n\nOf Europe.\n\n"
        '## Findings\n\n- They flow\n- {"n": 1}\n\n'
        "## Search results\n\n1. [Rivers [1](<https://a.example/x>)\n   long water\n\n"
        "## Extracted content\n\n### Page\n\nSource: <https://b.example>\n\nBody.\n\n"
        "## Recommendations\n\nSwim.\n"
    )
    assert made["title"] == "On rivers"
    assert made["content"] == made["markdown"]
    assert made["word_count"] == len(made["markdown"].split())
    assert datetime.fromisoformat(made["timestamp"]).utcoffset() is not None


def test_what_was_not_found_has_no_section():
    made = report(title="Empty", search_results={"results": []}, extraction_results="", findings=[])
    assert made["markdown"] == f"# Empty\n\n**Generated:** {made['timestamp']}\n"


def test_content_of_the_author_keeps_its_own_title():
    markdown = report(title="References", content="# Bibliography\n\n1. A book\n")["markdown"]
    assert "References" not in markdown
    assert markdown.endswith("# Bibliography\n\n1. A book\n")
    assert "# Kept" in report(title="Kept", template="Some text")["markdown"]


def test_results_may_be_a_list_json_text_or_a_whole_step():
    for given in ([HIT], '{"results": [{"title": "Rivers", "url": "u"}]}', {"result": {"results": [HIT]}}):
        assert "1. [Rivers" in report(search_results=given)["markdown"]
    assert "Just text" in report(extraction_results="Just text")["markdown"]
    assert "1. null" in report(search_results=[None])["markdown"]


def test_a_long_page_is_cut_and_says_so():
    markdown = report(extraction_results=[{"text": "x" * (EXCERPT_CHARACTERS + 1)}])["markdown"]
    assert "x" * EXCERPT_CHARACTERS + " […]" in markdown
