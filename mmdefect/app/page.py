"""The page: its tabs and its looks."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from mmdefect.app.before_after import before_after_tab
from mmdefect.app.desk import Desk
from mmdefect.app.events import MODEL, told
from mmdefect.app.look import look_tab
from mmdefect.app.reports import links
from mmdefect.app.review import review_tab
from mmdefect.app.standing import standing

_HERE = Path(__file__).parent
STYLE = (_HERE / 'style.css').read_text(encoding='utf-8')
HEAD = f'<script>{(_HERE / "keys.js").read_text(encoding="utf-8")}</script>'
_FONTS = ('system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'sans-serif')
#: Twice an hour, pictures that are older than a shift are removed.
_KEPT = (1800, 8 * 3600)


def theme() -> Any:
    """Gradio's own looks in the fonts of the system: none is loaded."""
    own = gr.themes.Default(
        primary_hue='blue', font=_FONTS, font_mono=('ui-monospace', 'monospace')
    )
    # Gradio's are hard to read on white.
    soft = ('body_text_color_subdued', 'block_info_text_color')
    return own.set(
        **dict.fromkeys(soft, '*neutral_600'),
        **dict.fromkeys([f'{name}_dark' for name in soft], '*neutral_400'),
    )


def build(desk: Desk) -> gr.Blocks:
    """The page of a line, or of a model, of which there is only the first tab."""
    title = f'mmdefect: {desk.name}'
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=_KEPT) as page:
        gr.HTML(f'<b>{escape(desk.name)}</b>', elem_id='name')
        if desk.line is None:
            look_tab(desk, page)
            gr.HTML(links(desk), elem_classes='said')
            return page
        with gr.Tab('Look'):
            look_tab(desk, page)
        with gr.Tab('Compare') as tab:
            before_after_tab(desk, tab)
        with gr.Tab('Review') as tab:
            review_tab(desk, tab)
        with gr.Tab('Status') as tab:
            said = gr.HTML(elem_classes='said', elem_id='standing')
            tab.select(told(lambda: standing(desk)), None, said, **MODEL)
    return page
