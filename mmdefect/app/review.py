"""The third tab: what waits for a verdict, by mouse or by keys."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np

from mmdefect.app import actions, waiting
from mmdefect.app.desk import Desk
from mmdefect.app.events import MODEL, QUICK, told

_HINT = 'two clicks on the picture, or four numbers x1, y1, x2, y2'


def review_tab(desk: Desk, tab: Any) -> None:
    """Build the tab.

    Args:
        desk: Of a line.
        tab: That it stands in: the queue is read whenever it is opened.
    """
    shown = gr.State(None)  # what is shown, a waiting.Shown
    corner = gr.State(None)  # the first of two clicks
    said = gr.HTML(elem_classes='said', elem_id='waiting')
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            picture = gr.Image(
                show_label=False,
                interactive=False,
                elem_id='review',
                buttons=['fullscreen'],
            )
        with gr.Column(scale=2, min_width=280):
            with gr.Row(elem_id='verdicts'):
                buttons = [
                    gr.Button(f'{key} {verdict}', elem_id=waiting.key_of(verdict))
                    for key, verdict in enumerate(waiting.VERDICTS, 1)
                ]
            with gr.Row(elem_id='steps'):
                back = gr.Button('← back', elem_id='go-back', min_width=80)
                on = gr.Button('on →', elem_id='go-on', min_width=80)
            kind = gr.Dropdown(
                [], label='Kind', info='of what was missed or is of another kind',
                allow_custom_value=True, elem_id='kind',
            )  # fmt: skip
            box = gr.Textbox(label='Box', info=_HINT, elem_id='box')
            by = gr.Textbox(label='Your name', info='stands beside your verdicts')

    view = [shown, said, picture, kind, box, corner]

    def opened(shown: Any, step: int = 0) -> tuple[Any, ...]:
        new = waiting.step(desk, None if shown is None else shown.image, step)
        if new is None:
            return None, waiting.NOTHING, None, gr.update(value=None), '', None
        kinds = gr.update(choices=[*new.classes], value=None)
        return new, new.said, new.picture, kinds, '', None

    @told
    def give(verdict: str, shown: Any, kind: str, box: str, by: str) -> tuple[Any, ...]:
        if shown is None:
            return opened(None)
        after = waiting.after(desk, shown.image)
        waiting.give(desk, shown, verdict, kind=kind, box=box, by=by)
        gr.Info(f'{verdict}: written down')
        return opened(after)

    @told
    def click(shown: Any, corner: Any, event: gr.SelectData) -> tuple[Any, ...]:
        at = actions.pixel_of(event.index, shown.picture.shape, shown.size)
        if corner is None:
            return gr.skip(), at
        return actions.box_between(corner, at), None

    @told
    def mark(shown: Any, text: str) -> np.ndarray | None:
        box = None if shown is None else actions.box_of(text)
        if shown is None or box is None:
            return None if shown is None else shown.picture
        return actions.with_box(shown.picture, box, shown.size)

    tab.select(told(opened), shown, view, **MODEL)
    back.click(told(lambda s: opened(s, -1)), shown, view, **MODEL)
    on.click(told(lambda s: opened(s, 1)), shown, view, **MODEL)
    for button, verdict in zip(buttons, waiting.VERDICTS, strict=True):
        given = gr.State(verdict)
        button.click(give, [given, shown, kind, box, by], view, **MODEL)
    picture.select(click, [shown, corner], [box, corner], **QUICK)
    box.change(mark, [shown, box], picture, **QUICK)
