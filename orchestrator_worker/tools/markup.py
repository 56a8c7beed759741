"""Markdown made into HTML that is safe to open: it may be a model's, or a stranger's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestrator_client.contract.errors import ToolFailed

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_ADDRESSES = ("http://", "https://", "mailto:", "#", "/", ".")
"""How the address of a link or picture begins that runs nothing when it is opened."""

Change = Callable[["Element"], None]
"""What is done to the tree of a text, in place."""


def html_of(text: str, tool: str, change: Change | None = None) -> str:
    """The HTML of a text, with tables and fenced code. HTML within it is shown as it stands, and not obeyed.

    Raises:
        ToolFailed: markdown is not installed.
    """
    try:
        from markdown import Markdown
        from markdown.treeprocessors import Treeprocessor
    except ImportError as error:
        reason = f"{tool} needs markdown: pip install 'orchestrator[documents]' ({error})"
        raise ToolFailed(reason, False) from None

    class Changed(Treeprocessor):
        def run(self, root: Element) -> None:
            for element in root.iter():
                _tame(element)
            if change is not None:
                change(root)

    reader = Markdown(extensions=["tables", "fenced_code", "sane_lists"], output_format="html")
    reader.preprocessors.deregister("html_block")
    reader.inlinePatterns.deregister("html")
    # After the reader's own, which find links and pictures.
    reader.treeprocessors.register(Changed(reader), "changed", 5)
    return reader.convert(text)


def words(element: Element, text: str) -> None:
    """Leave nothing of an element but words; what comes behind it stays."""
    element.tag, element.text = "span", text
    element.attrib.clear()


def _tame(element: Element) -> None:
    """Take the address from what would run when it is opened."""
    for name in ("href", "src"):
        address = element.get(name)
        # A name of a file is none of the schemes; a colon before the first slash makes one.
        if address is not None and not address.startswith(_ADDRESSES) and ":" in address.partition("/")[0]:
            del element.attrib[name]
