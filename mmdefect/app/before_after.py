"""The second tab: one picture, two versions."""

from __future__ import annotations

from typing import Any

import gradio as gr

from mmdefect.app import actions
from mmdefect.app.desk import Desk
from mmdefect.app.events import MODEL, told


def before_after_tab(desk: Desk) -> None:
    """Build the tab."""
    versions = desk.versions()
    with gr.Row():
        file = gr.File(
            label='Drop an image', file_types=['image'], height=120, elem_id='pair'
        )
        left = gr.Dropdown(versions, value=versions[1:2] or versions[:1], label='Before')
        right = gr.Dropdown(versions, value=versions[0], label='After')
    said = gr.HTML(elem_classes='said', elem_id='compared')
    with gr.Row():
        pictures = [
            gr.Image(label=name, interactive=False, min_width=280)
            for name in ('Before', 'After')
        ]

    @told
    def compare(path: str | None, before: str, after: str) -> tuple[Any, ...]:
        if path is None:
            return '', None, None
        found = [desk.model(one).predict_one(path) for one in (before, after)]
        text = actions.compared(*found, (before, after))
        return text, *(actions.card(one)[0] for one in found)

    inputs, outputs = [file, left, right], [said, *pictures]
    for event in (file.change, left.change, right.change):
        event(compare, inputs, outputs, **MODEL)
