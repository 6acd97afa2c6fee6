"""What the page does, with numbers that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmdefect.app import actions
from mmdefect.deploy.decision import decide, failed
from mmdefect.deploy.drawing import draw
from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.spec import ModelSpec

BOXES = ModelSpec(task='boxes', classes=('dent', 'crack'), default_threshold=0.5)
MAPS = ModelSpec(task='maps', classes=('bottle',), thresholds={'bottle': 2.0})
LABELS = ModelSpec(
    task='labels', classes=('ok', 'bad'), defective='bad', thresholds={'bad': 0.5}
)


def boxes(*scores: float) -> Prediction:
    """The first is a dent, all others are cracks."""
    output = BoxOutput(
        boxes=np.float32([[0, 0, 10 * at + 5, 5] for at in range(len(scores))]),
        scores=np.float32(scores),
        labels=np.minimum(np.arange(len(scores)), 1),
    )
    return decide(output, BOXES, source='in/a.png', size=(80, 60))


def maps(score: float, product: str | None = None) -> Prediction:
    given = np.full((60, 80), score, np.float32)
    output = MapOutput(anomaly_map=given, score=score, product=product)
    return decide(output, MAPS, source='in/a.png', size=(80, 60))


def labels(bad: float) -> Prediction:
    output = LabelOutput(probabilities=np.float32([1 - bad, bad]))
    return decide(output, LABELS, source='in/a.png', size=(80, 60))


@pytest.mark.parametrize(
    ('prediction', 'spec', 'name', 'at'),
    [
        (boxes(0.6, 0.2), BOXES, 'dent', 0.7),
        (maps(2.5, 'bottle'), MAPS, 'bottle', 3.0),
        (labels(0.6), LABELS, 'bad', 0.7),
    ],
)
def test_feature_a_moved_threshold_decides_anew(
    prediction: Prediction, spec: ModelSpec, name: str, at: float
) -> None:
    assert prediction.decision == 'defective'
    above = actions.moved(prediction, spec.with_threshold({name: at}))
    assert above.decision == 'ok'
    assert above.calibrated is False
    assert above.score == prediction.score
    assert actions.moved(above, spec).decision == 'defective'


def test_feature_an_error_stays_one() -> None:
    error = failed('no picture', MAPS, source='in/a.png')
    assert actions.moved(error, MAPS) is error
    assert actions.rows([error]) == [['a.png', 'no picture', '–', '–', '–']]
    picture, caption = actions.card(error)
    assert picture.shape[2] == 3
    assert caption == 'a.png: error'


def test_feature_which_thresholds_can_be_moved() -> None:
    assert actions.movable(BOXES) == {'dent': 0.5, 'crack': 0.5}
    assert actions.movable(LABELS) == {'bad': 0.5}
    assert actions.movable(MAPS) == {'bottle': 2.0}
    assert actions.movable(ModelSpec(task='maps', classes=('bottle',))) == {}


def test_feature_scores_of_a_class_and_of_a_product() -> None:
    seen = [boxes(0.6, 0.2, 0.3), boxes(), boxes(0.5)]
    assert actions.scores_of(seen, 'crack').tolist() == pytest.approx([0.3])
    assert actions.scores_of(seen, 'dent').tolist() == pytest.approx([0.6, 0.5])
    seen = [maps(1, 'bottle'), maps(2, 'cable'), maps(3)]
    assert actions.scores_of(seen, 'bottle').tolist() == [1, 3]


def test_feature_misses_and_false_alarms_at_a_threshold() -> None:
    """A score equal to the threshold is an alarm, in float32."""
    good, bad = np.float32([0.1, 0.3, 0.5]), np.float32([-np.inf, 0.3, 0.4, 0.9])
    seen = np.float32([0.3, 0.2])
    said = actions.counted(0.3, good, bad, seen, ends=(0, 1))
    for words in ('1 of 4 defects missed', '2 of 3 false alarms'):
        assert words in said
    assert 'alarms on 1 of the 2 looked at' in said


def test_feature_ends_of_the_slider() -> None:
    none = np.zeros(0, np.float32)
    assert actions.scale('boxes', 0.5, none) == (0, 1)
    assert actions.scale('maps', 2.0, none) == (1, 3)
    ends = actions.scale('maps', 2.0, np.float32([-np.inf, 1]), np.float32([6]))
    assert ends == (0.8, 6.2)


@pytest.mark.parametrize('size', [(80, 60), (200, 100), (1300, 700)])
def test_feature_a_click_is_a_pixel_of_the_original(size: tuple[int, int]) -> None:
    """Whatever the picture was enlarged by, and below its line of text."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[20:30, 50:70] = 255
    found = decide(
        BoxOutput(
            boxes=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            labels=np.zeros(0, np.int64),
        ),
        BOXES,
        source='a.png',
        size=size,
    )
    drawn = draw(found, image)
    # Below the line of text: the first white pixel of the picture itself.
    factor = drawn.shape[1] // size[0]
    banner = drawn.shape[0] - factor * size[1]
    rows, columns = np.nonzero(drawn[banner:].min(-1) > 200)
    click = int(columns[0]), int(rows[0]) + banner
    assert actions.pixel_of(click, drawn.shape, size) == (50, 20)
    assert actions.pixel_of((0, 0), drawn.shape, size) == (0, 0)
    assert actions.pixel_of(drawn.shape[1::-1], drawn.shape, size) == size
    marked = actions.with_box(drawn, (50, 20, 70, 30), size)
    assert (marked[click[1], click[0]] == 255).all()
    assert (marked != drawn).any()
    assert actions.box_between((70, 20), (50, 30)) == '50, 20, 70, 30'


def test_feature_a_box_as_it_is_typed() -> None:
    assert actions.box_of('  ') is None
    assert actions.box_of('1, 2 30,40.5') == (1, 2, 30, 40.5)


@pytest.mark.parametrize(
    'text', ['1 2 3', '1 2 3 x', '5 2 3 4', '1 2 nan 4', '-1 2 3 4']
)
def test_exception_boxes(text: str) -> None:
    with pytest.raises(ValueError, match='expected four numbers x1, y1, x2, y2'):
        actions.box_of(text)


def test_feature_two_versions_side_by_side() -> None:
    versions = ('v0001', 'v<2>')
    said = actions.compared(boxes(0.6), boxes(0.4), versions)
    assert 'They decide differently' in said
    assert 'v&lt;2&gt;' in said
    assert 'They decide alike' in actions.compared(boxes(0.6), boxes(0.6), versions)


def test_feature_only_images_of_a_folder() -> None:
    given = ['a/b.PNG', 'a/Thumbs.db', 'a/c.jpg']
    assert actions.images_of(given) == ['a/b.PNG', 'a/c.jpg']
    assert actions.images_of(None) == []


def test_feature_summary() -> None:
    done = [boxes(0.6), boxes(0.1), boxes(0.2)]
    assert '<b>3 of 9 looked at</b>: 2 ok, 1 defective' in actions.summary(done, 9)
    assert actions.summary([], 0) == ''


def test_feature_small_pictures_keep_boxes_and_peaks() -> None:
    """One pixel of a map stays above its threshold when four by four become one."""
    image = np.zeros((800, 1600, 3), np.uint8)
    given = np.zeros((800, 1600), np.float32)
    given[401, 902] = 3
    found = replace(maps(3.0), anomaly_map=given, size=(1600, 800), image=image)
    small = actions.small(found, 400)
    assert small.size == (400, 200)
    assert small.anomaly_map is not None
    assert small.anomaly_map.max() == 3
    assert small.anomaly_map.shape == small.image.shape[:2] == (200, 400)
    assert abs(actions.drawn(found, 400).shape[1] - 400) <= 1
    boxed = replace(boxes(0.6, 0.7), size=(1600, 800), image=image)
    assert actions.small(boxed, 400).boxes[1].tolist() == [0, 0, 3.75, 1.25]
    assert actions.small(boxed, 1600) is boxed
