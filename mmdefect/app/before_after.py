"""The second tab: one picture, two versions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mmdefect.app import actions
from mmdefect.app.desk import Desk
from mmdefect.app.events import MODEL, told
from mmdefect.app.pictures import as_file


def before_after_tab(desk: Desk, tab: Any) -> None:
    """Build the tab.

    Args:
        desk: Of a line.
        tab: That it stands in: versions are listed whenever it is opened.
    """
    file = gr.File(
        label='Drop an image', file_types=['image'], height=120, elem_id='pair'
    )
    said = gr.HTML(elem_classes='said', elem_id='compared')
    with gr.Row():
        (left, first), (right, second) = map(_side, ('Before', 'After'))

    @told
    def listed(before: str | None, after: str | None) -> tuple[Any, Any]:
        names = desk.versions()
        return (
            gr.update(choices=names, value=before or desk.before()),
            gr.update(choices=names, value=after or desk.current()),
        )

    @told
    def compare(
        path: str | None, before: str | None, after: str | None
    ) -> tuple[Any, ...]:
        if path is None or before is None or after is None:
            return '', None, None
        old, new = (desk.model(one).predict_one(path) for one in (before, after))
        text = actions.compared(old, new, (before, after))
        return text, *(as_file(actions.drawn(one)) for one in (old, new))

    tab.select(listed, [left, right], [left, right], **MODEL)
    gr.on(
        [file.change, left.input, right.input],
        compare,
        [file, left, right],
        [said, first, second],
        **MODEL,
    )


def _side(name: str) -> tuple[Any, Any]:
    """Which version, and below it what it finds."""
    with gr.Column(min_width=280):
        version = gr.Dropdown(label=name, elem_id=name.lower())
        picture = gr.Image(show_label=False, interactive=False, buttons=['fullscreen'])
    return version, picture
