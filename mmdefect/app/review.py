"""The third tab: what waits for a verdict, by mouse or by keys."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from mmdefect.app import actions, waiting
from mmdefect.app.desk import Desk
from mmdefect.app.events import MODEL, QUICK, kept
from mmdefect.app.pictures import as_file
from mmdefect.app.waiting import Shown

_HINT = 'two clicks on the picture, or four numbers x1, y1, x2, y2'
_KINDS = 'of what was missed, or is of another kind'


def review_tab(desk: Desk, tab: Any) -> None:
    """Build the tab.

    Args:
        desk: Of a line.
        tab: That it stands in: the queue is read whenever it is opened.
    """
    shown = gr.State(None)
    # Of what the browser shows: a key that is pressed twice means what was seen.
    at = gr.Textbox(visible=False)
    corner = gr.State(None)  # the first of two clicks
    # Rows of verdicts that the page has shown or given: others are news.
    known = gr.State(frozenset())
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            picture = gr.Image(
                show_label=False,
                interactive=False,
                elem_id='review',
                buttons=['fullscreen'],
            )
        with gr.Column(scale=2, min_width=280):
            said = gr.HTML(elem_classes='said', elem_id='waiting')
            with gr.Row(elem_id='verdicts'):
                buttons = {
                    verdict: gr.Button(
                        f'{key}  {verdict}', elem_id=waiting.key_of(verdict)
                    )
                    for key, verdict in enumerate(waiting.VERDICTS, 1)
                }
            with gr.Row(elem_id='steps'):
                back = gr.Button('←  back', elem_id='go-back', min_width=80)
                dismiss = gr.Button('5  dismiss', elem_id='dismiss', min_width=80)
                on = gr.Button('on  →', elem_id='go-on', min_width=80)
            kind = gr.Dropdown(
                [], label='Kind', info=_KINDS, allow_custom_value=True, elem_id='kind'
            )
            new = gr.Checkbox(label='a kind that the model does not know yet')
            box = gr.Textbox(label='Box', info=_HINT, elem_id='box')
            by = gr.Textbox(label='Your name', info='stands beside your verdicts')
    view = [shown, at, said, picture, kind, new, box, corner, known]

    def view_of(shown: Shown | None, known: frozenset[int]) -> tuple[Any, ...]:
        texts, picture, kinds = ('', waiting.NOTHING), None, []
        if shown is not None:
            texts, picture = (shown.image, shown.said), as_file(shown.picture)
            kinds, known = [*shown.classes], known | {shown.verdict}
        choice = gr.update(choices=kinds, value=None)
        return shown, *texts, picture, choice, False, '', None, known

    @kept
    def open_at(step: int, now: Shown | None, known: frozenset[int]) -> tuple[Any, ...]:
        image = now.image if now else None
        return view_of(waiting.opened(desk, image, step=step), known)

    @kept
    def give(
        verdict: str,
        image: str,
        kind: str | None,
        new: bool,
        box: str,
        by: str,
        known: frozenset[int],
    ) -> tuple[Any, ...]:
        if not image:
            return view_of(None, known)
        if (other := waiting.judged(desk, image, known)) is not None:
            gr.Warning(waiting.news(other), duration=20)
            return *[gr.skip()] * (len(view) - 1), known | {other.id}
        row, following = waiting.decided(
            desk, image, verdict, kind=kind, new_kind=new, box=box, by=by
        )
        gr.Info(waiting.told(desk, row), duration=4)
        return view_of(following, known | {row.id})

    @kept
    def take_out(image: str, by: str, known: frozenset[int]) -> tuple[Any, ...]:
        return view_of(waiting.dismissed(desk, image, by) if image else None, known)

    for event, step in ((tab.select, 0), (back.click, -1), (on.click, 1)):
        event(partial(open_at, step), [shown, known], view, **MODEL)
    dismiss.click(take_out, [at, by, known], view, **MODEL)
    for verdict, button in buttons.items():
        given = [at, kind, new, box, by, known]
        button.click(partial(give, verdict), given, view, **MODEL)
    picture.select(_click, [shown, corner], [box, corner, picture], **QUICK)
    box.change(_mark, [shown, box], picture, **QUICK)


def _click(
    now: Shown | None, corner: Any, event: gr.SelectData
) -> tuple[Any, Any, Any]:
    """The first click leaves a mark, the second makes a box."""
    if now is None:
        return gr.skip(), None, gr.skip()
    at = actions.pixel_of(event.index, now.picture.shape, now.size)
    if corner is None:
        marked = actions.with_box(now.picture, (*at, *at), now.size)
        return gr.skip(), at, as_file(marked)
    return actions.box_between(corner, at), None, gr.skip()


def _mark(now: Shown | None, text: str) -> str | None:
    """The picture with the box that is typed; without it while it is none."""
    if now is None:
        return None
    try:
        box = actions.box_of(text)
    except ValueError:
        box = None
    if box is None:
        return as_file(now.picture)
    return as_file(actions.with_box(now.picture, box, now.size))
