"""Own and foreign images, thresholds and confusions, on boxes drawn by hand."""

from __future__ import annotations

import json
import math

import pytest
import torch

from mmdefect.evaluation.box_diagnosis import Diagnosis, diagnose
from mmdefect.evaluation.box_rows import Rows, found_rows
from tests.evaluation.test_grouped_coco import (
    both_backends,
    made,
    random_case,
    write_json,
)
from tests.evaluation.test_grouped_coco import evaluate as score

CLASSES = ['dent', 'rust', 'stain']
SPOT = (0.0, 0.0, 10.0, 10.0)
AWAY = (50.0, 0.0, 60.0, 10.0)


def rows(*entries: tuple[int, str, tuple, float]) -> Rows:
    """Image, class, corners, score or whether it is ignored."""
    images, names, boxes, values = zip(*entries, strict=True)
    return Rows(
        torch.tensor(boxes, dtype=torch.float64),
        torch.tensor([CLASSES.index(name) for name in names]),
        torch.tensor(images),
        torch.tensor(values),
    )


def regarded(*found: tuple, steps=(0, 0, 1), **options) -> Diagnosis:
    """Image 0 shows a dent, 1 rust, 2 a stain, 3 nothing."""
    truths = rows(
        (0, 'dent', SPOT, False), (1, 'rust', SPOT, False), (2, 'stain', SPOT, False)
    )
    return diagnose(
        rows(*found), truths, classes=CLASSES, steps=steps, images=4, **options
    )


FOUND = (
    (0, 'dent', SPOT, 0.9),
    (1, 'dent', AWAY, 0.95),  # on an own image: rust is of the same step
    (2, 'dent', SPOT, 0.99),  # on a stain, on an image that is not its own
    (3, 'dent', SPOT, 0.2),  # below the threshold
    (2, 'stain', SPOT, 0.5),
    (2, 'stain', SPOT, 0.6),
    (0, 'stain', SPOT, 0.7),  # on a dent
    (0, 'stain', AWAY, 0.6),
    (3, 'stain', AWAY, 0.65),
)


def test_smoke() -> None:
    found = regarded(*FOUND)
    dent, rust, stain = found.classes.values()
    assert (dent.threshold, stain.threshold) == pytest.approx((0.9, 0.6))
    assert (dent.own_alarms, dent.foreign_alarms, dent.foreign_images) == (1, 1, 2)
    # The second box of its own object lies below.
    assert (stain.own_alarms, stain.foreign_alarms, stain.foreign_images) == (0, 3, 3)
    assert math.isnan(rust.threshold)
    assert (rust.own_alarms, rust.foreign_alarms, rust.own_ap50) == (0, 0, 0)
    assert dent.own_ap50 == 0.5
    assert stain.own_ap50 == 1
    assert found.scalars() == {
        'own_AP50/dent': 0.5,
        'own_AP50/rust': 0,
        'own_AP50/stain': 1,
        'foreign_false_alarms': 3,
        'foreign_false_alarms_old': 1,
    }


def test_feature_confusions_with_their_best_box() -> None:
    found = regarded(*FOUND, (0, 'stain', (0.0, 0, 10, 9), 0.75))
    pairs = {(one.predicted, one.shown): one for one in found.confusions}
    assert list(pairs) == [('stain', 'dent'), ('dent', 'stain')]
    pair = pairs['stain', 'dent']
    assert (pair.count, pair.image, pair.score) == (2, 0, 0.75)
    assert (pair.box, pair.truth) == ([0, 0, 10, 9], [0, 0, 10, 10])
    files = [{'img_path': f'{k}.png', 'read': {}} for k in range(4)]
    content = json.loads(json.dumps(found.to_dict(files)))
    first = content['confusions'][0]
    assert first['example'] == {
        'img_path': '0.png',
        'read': {},
        'gt': [{'bbox': [0, 0, 10, 10], 'label': 'dent'}],
        'pred': [{'bbox': [0, 0, 10, 9], 'label': 'stain', 'score': 0.75}],
    }
    assert content['classes']['stain']['foreign_alarms'] == 4


def test_feature_given_thresholds_decide() -> None:
    found = regarded(*FOUND, thresholds={'stain': 0.65, 'rust': 0.1})
    stain, rust = found.classes['stain'], found.classes['rust']
    assert (stain.calibrated, stain.threshold, stain.foreign_alarms) == (True, 0.65, 1)
    assert (rust.calibrated, found.classes['dent'].calibrated) == (True, False)


def test_feature_one_step_has_no_old_classes() -> None:
    """Foreign images show no class at all."""
    found = regarded(*FOUND, steps=(0, 0, 0))
    assert found.scalars()['foreign_false_alarms'] == 1
    assert 'foreign_false_alarms_old' not in found.scalars()


def test_feature_ignored_regions() -> None:
    """A crowd shows its class, and boxes in it count neither way."""
    truths = rows((0, 'dent', SPOT, False), (1, 'dent', (0, 0, 90, 90), True))
    found = rows(
        (0, 'dent', SPOT, 0.9), (1, 'dent', AWAY, 0.95), (1, 'stain', SPOT, 1.0)
    )
    row = diagnose(found, truths, classes=CLASSES, steps=[0, 0, 1], images=2)
    dent = row.classes['dent']
    assert (dent.own_ap50, dent.own_alarms, dent.foreign_images) == (1, 0, 0)
    assert not row.confusions  # a crowd is no object


def test_feature_most_boxes_of_a_class_in_an_image() -> None:
    boxes = torch.tensor([[k, 0, k + 9, 9] for k in range(5)]).numpy()
    prediction = {
        'img_id': 7,
        'bboxes': boxes,
        'scores': torch.tensor([0.1, 0.5, 0.3, 0.4, 0.2]).numpy(),
        'labels': torch.tensor([0, 0, 1, 0, 1]).numpy(),
    }
    kept = found_rows([prediction], {7: 0}, limit=2)
    assert kept.boxes[:, 0].tolist() == [1, 2, 3, 4]
    assert kept.labels.tolist() == [0, 1, 0, 1]


@both_backends
@pytest.mark.parametrize('seed', range(2))
def test_feature_own_ap_is_the_evaluators_on_own_images(
    tmp_path, seed, backend
) -> None:
    """Every test image shows a class of the one step: own and all are the same."""
    truth, boxes = random_case(seed)
    truth = [*truth, (3, 'patches', (0, 0, 5, 5))]
    ann_file = write_json(tmp_path / 'test.json', truth=truth, crowd={2})
    found = score(ann_file, boxes, backend=backend)
    for name in ('crazing', 'patches', 'scratches'):
        assert found[f'coco/own_AP50/{name}'] == pytest.approx(
            found[f'coco/AP50/{name}'], abs=1e-12
        )
    assert found['coco/all_own_AP50'] == pytest.approx(found['coco/AP50_all'])


def test_feature_foreign_images_cost_average_precision(tmp_path) -> None:
    """A better scored box on an image of the other step halves AP, and not own AP."""
    truth = [(1, 'crazing', (10, 10, 40, 40)), (2, 'patches', (10, 10, 40, 40))]
    boxes = [
        (1, 'crazing', (10, 10, 40, 40), 0.9),
        (1, 'patches', (10, 10, 40, 40), 0.8),
        (2, 'patches', (10, 10, 40, 40), 0.7),
    ]
    ann_file = write_json(tmp_path / 'test.json', truth=truth)
    classes = ['crazing', 'patches']
    found = score(ann_file, boxes, classes=classes, step_sizes=[1, 1])
    assert found['coco/AP50/patches'] == pytest.approx(0.5)
    assert found['coco/own_AP50/patches'] == pytest.approx(1.0)
    assert found['coco/foreign_false_alarms'] == 1
    assert found['coco/foreign_false_alarms_old'] == 0


def test_exception_step_sizes(tmp_path) -> None:
    metric = made(write_json(tmp_path / 'test.json'), step_sizes=[1, 1])
    with pytest.raises(ValueError, match=r'^step_sizes=\[1, 1\]: expected .* the 3 of'):
        metric.open()
