"""Markdown and executed notebooks as HTML that asks nothing of the network: formulas as MathML, images inside."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter

CODE = [".highlight", ".output_html"]  # cells, and sources that a cell shows


class _Renderer(IPythonRenderer):
    """Markdown to HTML: what a browser would fetch or typeset with a script is written out here."""

    def inline_math(self, body: str) -> str:
        return convert(body)

    def block_math(self, body: str) -> str:
        return convert(body, display="block")

    def latex_environment(self, name: str, body: str) -> str:
        return convert(rf"\begin{{{name}}}{body}\end{{{name}}}", display="block")

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """An image of another server, such as a badge, is its text."""
        return text if "//" in url else super().image(text, url, title)


class _Exporter(HTMLExporter):
    def markdown2html(self, context, source: str) -> str:
        return markdown(source)

    markdown2html.__dict__.update(HTMLExporter.markdown2html.__dict__)  # it is given the template's context


def markdown(text: str) -> str:
    """Markdown as HTML, with formulas as MathML."""
    renderer = _Renderer(escape=False, exclude_anchor_links=True)
    return MarkdownWithMath(renderer=renderer).render(text)


def inline(text: str) -> str:
    """One paragraph of Markdown as HTML, without the paragraph around it."""
    return markdown(text).strip().removeprefix("<p>").removesuffix("</p>")


def body(path: Path) -> str:
    """The cells of an executed notebook as HTML, outputs and pictures included.

    The bootstrap, which only imports the package, is left out.
    """
    notebook: NotebookNode = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.get("id") != "bootstrap"]
    exporter = _Exporter(template_name="basic", exclude_input_prompt=True, exclude_output_prompt=True)
    made = exporter.from_notebook_node(notebook)[0]
    return re.sub(r"<style>.*?</style>", "", made, flags=re.DOTALL)  # of shown sources, for light pages only


def code_colours() -> str:
    """CSS of highlighted code, light and dark."""
    light, dark = (HtmlFormatter(style=name).get_style_defs(CODE) for name in ("default", "github-dark"))
    return f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}"


def embedded(path: Path) -> str:
    """A PNG file as the address of an image."""
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
