"""Tools that make documents of Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import AliasChoices, Field

from orchestrator_client.contract.catalog.spec import REPEATS, Parameters, ToolSpec, specs
from orchestrator_client.contract.tool import Category

_MARKDOWN = AliasChoices("markdown_content", "markdown", "content", "text")


class PdfParameters(Parameters):
    markdown_content: str = Field(validation_alias=_MARKDOWN)
    output_path: str = Field(validation_alias=AliasChoices("output_path", "path", "filename"))
    title: str = ""
    author: str = ""
    """Both are the file's own, for the reader's window and for searches; the text does not show them."""


class HtmlParameters(Parameters):
    markdown_content: str = Field(validation_alias=_MARKDOWN)
    output_path: str | None = Field(default=None, validation_alias=AliasChoices("output_path", "path", "filename"))
    """Where the page goes; without it nothing is written."""
    title: str = ""


TOOLS: Mapping[str, ToolSpec] = {
    **specs("pdf-compiler", Category.REPORT, ("compile", PdfParameters, "Set Markdown as a PDF file", REPEATS)),
    **specs("markdown-to-html", Category.REPORT, ("convert", HtmlParameters, "Make a page of Markdown", REPEATS)),
}
