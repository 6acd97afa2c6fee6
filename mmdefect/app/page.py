"""The page: its tabs, its looks, and what is called when something is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from mmdefect.app.before_after import before_after_tab
from mmdefect.app.desk import Desk
from mmdefect.app.look import look_tab
from mmdefect.app.review import review_tab
from mmdefect.app.state import state_tab

_HERE = Path(__file__).parent
STYLE = (_HERE / 'style.css').read_text(encoding='utf-8')
HEAD = f'<script>{(_HERE / "keys.js").read_text(encoding="utf-8")}</script>'
_FONTS = ('system-ui', '-apple-system', 'Segoe UI', 'Roboto', 'sans-serif')


def theme() -> Any:
    """Gradio's own looks with the fonts of the system: none is loaded."""
    return gr.themes.Default(
        primary_hue='blue', font=_FONTS, font_mono=('ui-monospace', 'monospace')
    )


def build(desk: Desk) -> gr.Blocks:
    """The page of a line, or of a model, of which there is only the first tab."""
    kept = (3600, 24 * 3600)  # once an hour, what is older than a day is removed
    title = f'mmdefect: {desk.path.name}'
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=kept) as page:
        with gr.Tabs():
            with gr.Tab('Look'):
                look_tab(desk)
            if desk.line is not None:
                with gr.Tab('Before and after'):
                    before_after_tab(desk)
                with gr.Tab('Review', id='review') as review:
                    review_tab(desk, review)
                with gr.Tab('State') as state:
                    state_tab(desk, state)
    return page
