"""PDF files of Markdown, set in Python alone. Pictures are named by their text: nothing is read or fetched for them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator_client.contract.catalog.documents import PdfParameters
from orchestrator_client.contract.errors import ToolFailed
from orchestrator_worker.tools.base import ToolContext, ToolResult
from orchestrator_worker.tools.markup import html_of, words
from orchestrator_worker.tools.paths import write_bytes

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from fpdf import FPDF

_TOOL = "pdf-compiler"

_TEXT_POINTS = 11

_STYLES = {"": "", "B": "-Bold", "I": "-Oblique", "BI": "-BoldOblique"}
"""Styles of a font, to how the files of DejaVu are named for them."""


def compile_pdf(context: ToolContext, parameters: PdfParameters) -> ToolResult:
    """Set a text: `{output_path, path, pages, bytes}`.

    Raises:
        ParametersInvalid: the path leads out of what the step may write.
        ToolFailed: fpdf2 or markdown is not installed, the text cannot be set, or the file cannot be written.
    """
    pdf = _document(parameters)
    try:
        return _compiled(pdf, context, parameters)
    finally:
        _close_fonts(pdf)


def _compiled(pdf: FPDF, context: ToolContext, parameters: PdfParameters) -> ToolResult:
    text, warnings = parameters.markdown_content, []
    family, mono = _fonts(pdf)
    if family == "helvetica" and (other := set(text) - set(text.encode("latin-1", "ignore").decode("latin-1"))):
        text = text.encode("latin-1", "replace").decode("latin-1")
        shown = " ".join(sorted(other)[:10])
        warnings.append(f"there is no font for {shown}; pip install 'orchestrator[visualization]' brings one")
    _set(pdf, html_of(text, _TOOL, _simplify), family, mono)
    content = bytes(pdf.output())
    write_bytes(parameters.output_path, content, context, _TOOL)
    path = parameters.output_path
    output = {"output_path": path, "path": path, "pages": pdf.page_no(), "bytes": len(content)}
    return ToolResult(output, warnings=tuple(warnings))


def _document(parameters: PdfParameters) -> FPDF:
    """An empty file with its first page."""
    try:
        from fpdf import FPDF
    except ImportError as error:
        reason = f"{_TOOL} needs fpdf2: pip install 'orchestrator[documents]' ({error})"
        raise ToolFailed(reason, False) from None
    pdf = FPDF()
    pdf.set_title(parameters.title)
    pdf.set_author(parameters.author)
    pdf.add_page()
    return pdf


def _fonts(pdf: FPDF) -> tuple[str, str]:
    """Families for text and for code: DejaVu, which matplotlib brings, or those of every reader, which know Latin-1."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return "helvetica", "courier"
    folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
    families = {"dejavu": "DejaVuSans", "dejavumono": "DejaVuSansMono"}
    for family, name in families.items():
        for style, suffix in _STYLES.items():
            pdf.add_font(family, style, folder / f"{name}{suffix}.ttf")
    return "dejavu", "dejavumono"


def _close_fonts(pdf: FPDF) -> None:
    """Close the files of the fonts, which fpdf2 does only when it has written the whole."""
    from fpdf.fonts import TTFFont

    for font in pdf.fonts.values():
        if isinstance(font, TTFFont):
            font.close()


def _set(pdf: FPDF, html: str, family: str, mono: str) -> None:
    """Put HTML on the pages.

    Raises:
        ToolFailed: fpdf2 cannot set it.
    """
    from fpdf.errors import FPDFException
    from fpdf.fonts import FontFace, TextStyle

    pdf.set_font(family, size=_TEXT_POINTS)
    code = FontFace(family=mono, size_pt=_TEXT_POINTS - 2)
    block = TextStyle(font_family=mono, font_size_pt=_TEXT_POINTS - 2, t_margin=2, b_margin=2, l_margin=4)
    try:
        pdf.write_html(html, font_family=family, tag_styles={"code": code, "pre": block})
    except (FPDFException, NotImplementedError, ValueError) as error:
        raise ToolFailed(f"{_TOOL}: the text cannot be set: {error}", False) from error


def _simplify(root: Element) -> None:
    """Leave what fpdf2 can set: no pictures, no links into the file, and no more than words in a table's cell."""
    for picture in root.iter("img"):
        words(picture, picture.get("alt", ""))
    for link in root.iter("a"):
        if not link.get("href", "").startswith(("http://", "https://", "mailto:")):
            words(link, link.text or "")
    for cell in (*root.iter("th"), *root.iter("td")):
        if any(inner.tag not in ("strong", "em") for inner in cell.iterfind(".//*")):
            cell.text = "".join(cell.itertext())
            cell[:] = []
