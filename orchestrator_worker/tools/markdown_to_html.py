"""Pages of Markdown that need no other file."""

from __future__ import annotations

import html

from orchestrator_client.contract.catalog.documents import HtmlParameters
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.markup import html_of
from orchestrator_worker.tools.paths import write_bytes

_TOOL = "markdown-to-html"

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  body {{ font-family: system-ui, sans-serif; line-height: 1.5; max-width: 45rem; margin: 2rem auto; padding: 0 1rem; }}
  pre {{ overflow-x: auto; background: #f4f4f4; padding: .75rem; }} img {{ max-width: 100%; }}
  table {{ border-collapse: collapse; }} th, td {{ border: 1px solid #ccc; padding: .25rem .5rem; }}
</style>
{body}
</html>
"""


def convert(context: ToolContext, parameters: HtmlParameters) -> ToolResult:
    """Make a page: `{html, output_path, path}`; both paths are null where none was asked for.

    Raises:
        ParametersInvalid: the path leads out of what the step may write.
        ToolFailed: markdown is not installed, or the file cannot be written.
    """
    body = html_of(parameters.markdown_content, _TOOL)
    page = _PAGE.format(title=html.escape(parameters.title), body=body)
    path = parameters.output_path
    if path is not None:
        write_bytes(path, page.encode(), context, _TOOL)
    return ToolResult({"html": page, "output_path": path, "path": path})
