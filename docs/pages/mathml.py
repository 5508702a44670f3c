"""Formulas as MathML: browsers draw it themselves, so that nothing is fetched and no script runs."""

from html import escape
from typing import Any

from latex2mathml.converter import convert


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _inline(translator: Any, node: Any) -> None:
    _write(translator, node, "inline")


def _block(translator: Any, node: Any) -> None:
    _write(translator, node, "block")


def _write(translator: Any, node: Any, display: str) -> None:
    from docutils import nodes

    text = node.astext()
    tag = "div" if display == "block" else "span"
    translator.body.append(f'<{tag} class="math" title="{escape(text)}">{convert(text, display=display)}</{tag}>')
    raise nodes.SkipNode
