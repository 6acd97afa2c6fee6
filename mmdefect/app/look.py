"""The first tab: pictures in, results out, and a threshold that can be moved."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from mmdefect.app import actions
from mmdefect.app.desk import Desk
from mmdefect.app.events import MODEL, QUICK, told
from mmdefect.app.pictures import as_file
from mmdefect.deploy.result import Prediction

#: At once; a page that holds more is slow.
MOST = 100
#: Results are shown when so many are there, and in the end: each time anew, all.
_WHEN = (1, 8, 32)


def look_tab(desk: Desk, page: gr.Blocks) -> None:
    """Build the tab.

    Args:
        desk: Whose versions look.
        page: That it stands in: versions and exams are listed when it is loaded.
    """
    found = gr.State([])
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            version = gr.Dropdown(
                label='Version',
                visible=desk.line is not None,
                elem_id='version',
            )
            files = gr.File(
                label='Drop images', file_count='multiple', height=160, elem_id='drop'
            )
            folder = gr.UploadButton(
                'Pick a folder', file_count='directory', elem_id='folder'
            )
            said = gr.HTML(elem_classes='said', elem_id='looked')
        with gr.Column(scale=5, min_width=280):
            gallery = gr.Gallery(
                elem_id='gallery',
                show_label=False,
                columns=3,
                height='auto',
                object_fit='contain',
                buttons=['fullscreen'],
            )
            table = gr.Dataframe(
                headers=[*actions.HEADER], interactive=False, elem_id='results'
            )
    gr.Markdown('### Move the threshold')
    with gr.Row():
        name = gr.Dropdown(label='Of', elem_id='of', min_width=140)
        exam = gr.Dropdown(label='Exam', elem_id='exam', min_width=140)
        slider = gr.Slider(0, 1, label='Threshold', elem_id='threshold', scale=2)
    examine = gr.Button(
        'Let this version look at the exam', visible=False, elem_id='examine'
    )
    counted = gr.HTML(elem_classes='said', elem_id='counted')
    chosen = [found, version, name, exam]
    results = [found, gallery, table, said]

    def listed() -> tuple[Any, Any]:
        exams = desk.exams()
        return (
            gr.update(choices=desk.versions(), value=desk.current()),
            gr.update(
                choices=exams, value=exams[0] if exams else None, visible=bool(exams)
            ),
        )

    @told
    def look(given: Sequence[str] | None, version: str) -> Iterator[Any]:
        names, done = list(given or []), []
        if names:
            model = desk.model(version)
            for one in model(names[:MOST], show_progress=False, keep_images=True):
                done.append(actions.small(one))
                if len(done) in _WHEN:
                    yield _shown(done, len(names))
        yield _shown(done, len(names))

    @told
    def choices(version: str) -> Any:
        names = [*actions.movable(desk.model(version).spec)]
        return gr.update(choices=names, value=names[0] if names else None)

    @told
    def ends(found: list[Prediction], version: str, name: str, exam: str) -> Any:
        button = gr.update(visible=not desk.is_examined(exam, version))
        at = actions.movable(desk.model(version).spec).get(name)
        if at is None:
            return gr.update(interactive=False), button
        scores = desk.scores(exam, version, name)
        seen = actions.scores_of(found, name)
        low, high = actions.scale(desk.model(version).spec.task, at, *scores, seen)
        slider = gr.update(
            minimum=low,
            maximum=high,
            step=10 ** math.floor(math.log10((high - low) / 500)),
            value=at,
            interactive=True,
        )
        return slider, button

    @told
    def count(
        at: float, found: list[Prediction], version: str, name: str, exam: str
    ) -> str:
        if name not in actions.movable(desk.model(version).spec):
            return 'This model has no threshold that could be moved.'
        scores = desk.scores(exam, version, name)
        seen = actions.scores_of(found, name)
        ends = actions.scale(desk.model(version).spec.task, at, *scores, seen)
        return actions.counted(at, *scores, seen, ends=ends)

    @told
    def again(at: float, found: list[Prediction], version: str, name: str) -> Any:
        if name not in actions.movable(desk.model(version).spec):
            return gr.skip(), gr.skip(), gr.skip()
        spec = desk.model(version).spec.with_threshold({name: at})
        return _shown([actions.moved(one, spec) for one in found], len(found))[1:]

    def count_after(event: Any) -> None:
        event.then(ends, chosen, [slider, examine], **MODEL).then(
            count, [slider, *chosen], counted, **QUICK
        )

    looking = {'fn': look, 'inputs': [files, version], 'outputs': results, **MODEL}
    known = {'fn': choices, 'inputs': version, 'outputs': name, **MODEL}
    folder.upload(actions.images_of, folder, files, **QUICK)
    # By hand only: what one of them sets must not call the others.
    count_after(page.load(told(listed), None, [version, exam], **MODEL).then(**known))
    count_after(version.input(**known).then(**looking))
    count_after(files.change(**looking))
    count_after(gr.on([name.input, exam.input], lambda: None, **QUICK))
    count_after(examine.click(told(desk.examine), [exam, version], None, **MODEL))
    slider.input(count, [slider, *chosen], counted, trigger_mode='always_last', **QUICK)
    slider.release(again, [slider, found, version, name], results[1:], **MODEL)


def _shown(done: list[Prediction], total: int) -> tuple[Any, ...]:
    """State, gallery, table and sentence of what is looked at so far."""
    cards = [(as_file(picture), said) for picture, said in map(actions.card, done)]
    return [*done], cards, actions.rows(done), actions.summary(done, total)
