"""PDF files and pages of Markdown, as files of the run's folder."""

from __future__ import annotations

import builtins
import gc
import importlib.util
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from orchestrator_client.contract.errors import ParametersInvalid, ToolFailed
from orchestrator_worker.tools import pdf_compiler
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.registry import invoke

RICH = """\
# A “title”

Some *words* with `code`, [a link](https://example.org) and ![a picture](/etc/passwd).

| a | b |
|---|---|
| `x` | **y** [z](https://example.org) ![w](w.png) |

1. one
    - within

> quoted

```
plain <text>
```
"""


@pytest.fixture
def context(tmp_path: Path) -> ToolContext:
    return ToolContext("run_1", "s", 1, tmp_path)


def done(uses: str, context: ToolContext, **parameters: Any) -> ToolResult:
    result = invoke(uses, parameters, context)
    assert isinstance(result, ToolResult)
    return result


def page(context: ToolContext, text: str) -> str:
    output: Any = done("markdown-to-html.convert", context, markdown_content=text).output
    return str(output["html"]).partition("</style>")[2]


class TestPdf:
    def test_a_file_of_everything(self, context: ToolContext) -> None:
        output: Any = done(
            "pdf-compiler.compile", context, markdown_content=RICH, output_path="out/r.pdf", title="T", author="A"
        ).output
        content = (context.folder / "out/r.pdf").read_bytes()
        assert content.startswith(b"%PDF-")
        assert output == {"output_path": "out/r.pdf", "path": "out/r.pdf", "pages": 1, "bytes": len(content)}

    def test_long_texts_have_pages(self, context: ToolContext) -> None:
        text = "\n\n".join(f"paragraph {number}" for number in range(200))
        output: Any = done("pdf-compiler.compile", context, text=text, path="a.pdf").output
        assert output["pages"] > 3

    def test_without_a_font_for_them_letters_are_replaced_and_named(
        self, context: ToolContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find = importlib.util.find_spec
        without_fonts = lambda name, *package: None if name == "matplotlib" else find(name, *package)  # noqa: E731
        monkeypatch.setattr(importlib.util, "find_spec", without_fonts)
        result = done("pdf-compiler.compile", context, markdown="naïve ☃", output_path="a.pdf")
        assert [("☃" in warning, "ï" in warning) for warning in result.warnings] == [(True, False)]
        assert "naïve ?".encode("latin-1") in streams(context.folder / "a.pdf")

    def test_it_stays_in_the_folder(self, context: ToolContext) -> None:
        with pytest.raises(ParametersInvalid, match="outside"):
            done("pdf-compiler.compile", context, markdown="x", output_path="../a.pdf")

    def test_what_cannot_be_set_leaves_no_font_open(
        self, context: ToolContext, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise ToolFailed("no")

        monkeypatch.setattr(pdf_compiler, "html_of", fail)
        before = len(os.listdir("/proc/self/fd"))
        gc.disable()
        try:
            with pytest.raises(ToolFailed):
                done("pdf-compiler.compile", context, markdown="x", output_path="a.pdf")
            assert len(os.listdir("/proc/self/fd")) <= before
        finally:
            gc.enable()

    @pytest.mark.parametrize("missing", ["fpdf", "markdown"])
    def test_what_is_not_installed_is_named(
        self, context: ToolContext, monkeypatch: pytest.MonkeyPatch, missing: str
    ) -> None:
        imported = builtins.__import__

        def without(name: str, *rest: Any, **named: Any) -> Any:
            if name.partition(".")[0] == missing:
                raise ImportError(name)
            return imported(name, *rest, **named)

        monkeypatch.setattr(builtins, "__import__", without)
        with pytest.raises(ToolFailed, match=r"orchestrator\[documents\]"):
            done("pdf-compiler.compile", context, markdown="x", output_path="a.pdf")


class TestPages:
    def test_a_page_is_written_where_it_is_asked_for(self, context: ToolContext) -> None:
        output: Any = done(
            "markdown-to-html.convert", context, markdown_content=RICH, output_path="o/p.html", title="<T>"
        ).output
        text = (context.folder / "o/p.html").read_text()
        assert (output["html"], output["path"]) == (text, "o/p.html")
        assert ["<title>&lt;T&gt;</title>" in text, "<td><code>x</code></td>" in text] == [True] * 2

    def test_html_in_it_is_shown_and_not_obeyed(self, context: ToolContext) -> None:
        text = page(context, "<script>alert(1)</script>\n\na <b onclick=x>b</b> [c](javascript:alert(1)) [d](e/f:g.md)")
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
        assert "<b" not in text.replace("<body", "")
        assert '<a>c</a> <a href="e/f:g.md">d</a>' in text
        assert list(context.folder.iterdir()) == []


def streams(file: Path) -> bytes:
    """What the compressed parts of a PDF hold."""
    found = b""
    for part in file.read_bytes().split(b"stream\n")[1:]:
        try:
            found += zlib.decompressobj().decompress(part)
        except zlib.error:
            continue
    return found
