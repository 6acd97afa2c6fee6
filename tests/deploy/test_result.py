"""A result in other forms: data, COCO, LabelMe, supervision, a line, a picture."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from mmdefect.deploy.decision import decide, failed
from mmdefect.deploy.drawing import fitted, plain_letters
from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.saving import file_stem
from mmdefect.deploy.spec import ModelSpec

BOXES = BoxOutput(
    boxes=np.array([[2, 3, 12, 23], [20, 10, 40, 30], [1, 1, 5, 5]], np.float32),
    scores=np.array([0.9, 0.6, 0.2], np.float32),
    labels=np.array([1, 0, 1]),
)
DETECTOR = ModelSpec(
    task='boxes',
    classes=('dent', 'scratch'),
    thresholds={'dent': 0.7, 'scratch': 0.5},
    calibrated=True,
)
CLASSIFIER = ModelSpec(
    task='labels',
    classes=('broken', 'good'),
    defective='broken',
    thresholds={'broken': 0.25},
)
MAPS = ModelSpec(
    task='maps', classes=('cloth', 'metal'), thresholds={'metal': 2.0}, calibrated=True
)
SIZE = (60, 40)


def boxes(**changes: Any) -> Prediction:
    spec = ModelSpec(**{**vars(DETECTOR), **changes})
    return decide(BOXES, spec, source='in/a.png', size=SIZE)


def label(probability: float = 0.4) -> Prediction:
    found = LabelOutput(probabilities=np.array([probability, 1 - probability]))
    return decide(found, CLASSIFIER, source='in/a.png', size=SIZE)


def anomaly(product: str | None = 'metal') -> Prediction:
    values = np.zeros(SIZE[::-1], np.float32)
    values[5:15, 10:30] = 3
    values[30, 50] = 2.5  # a single pixel
    values[20:25, 2:8] = 1
    found = MapOutput(anomaly_map=values, score=2.6, product=product)
    return decide(found, MAPS, source='in/a.png', size=SIZE)


BROKEN = failed('no image', DETECTOR, source='in/b.png')


def test_feature_dict_of_boxes() -> None:
    found = boxes().to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found['decision'], found['calibrated']) == ('defective', True)
    assert 'note' not in found
    assert found['size'] == [60, 40]
    (one,) = found['boxes']
    assert one['box'] == [2.0, 3.0, 12.0, 23.0]
    assert (one['name'], one['label'], one['is_defect']) == ('scratch', 1, True)
    assert one['score'] == pytest.approx(0.9)
    every = boxes().to_dict(everything=True)['boxes']
    assert [entry['is_defect'] for entry in every] == [True, False, False]


def test_feature_dict_without_calibration_and_thresholds() -> None:
    found = boxes(calibrated=False).to_dict()
    assert found['note'] == 'not calibrated'
    found = boxes(thresholds={}, calibrated=False).to_dict(everything=True)
    assert found['decision'] == 'undecided'
    assert [entry['threshold'] for entry in found['boxes']] == [None] * 3
    json.dumps(found, allow_nan=False)


def test_feature_dict_of_labels_maps_and_errors() -> None:
    found = label().to_dict(everything=True)
    assert (found['name'], found['label'], found['decision']) == (
        'broken',
        0,
        'defective',
    )
    assert found['probabilities'] == [0.4, 0.6]
    assert 'probabilities' not in label().to_dict()
    found = anomaly().to_dict()
    assert found['product'] == 'metal'
    assert found['map'] == {
        'max': 3.0,
        'regions': [
            {'box': [10.0, 5.0, 30.0, 15.0], 'max': 3.0},
            {'box': [50.0, 30.0, 51.0, 31.0], 'max': 2.5},
        ],
    }
    assert anomaly(None).to_dict()['map']['regions'] == []
    found = BROKEN.to_dict()
    assert (found['error'], found['decision']) == ('no image', 'undecided')
    for one in (label().to_dict(), anomaly().to_dict(), BROKEN.to_dict()):
        json.dumps(one, allow_nan=False)


def test_feature_coco_is_what_pycocotools_reads() -> None:
    from pycocotools.coco import COCO

    found = boxes().to_coco(image_id=7, everything=True)
    truth = COCO()
    truth.dataset = {
        'images': [{'id': 7, 'width': 60, 'height': 40}],
        'categories': [{'id': k, 'name': n} for k, n in enumerate('xy', 1)],
        'annotations': [],
    }
    truth.createIndex()
    read = truth.loadRes(found)
    assert [ann['area'] for ann in read.anns.values()] == [200, 400, 16]
    assert found[0]['bbox'] == [2.0, 3.0, 10.0, 20.0]
    assert [one['category_id'] for one in found] == [2, 1, 2]
    ids = {'dent': 40, 'scratch': 30}
    (one,) = boxes().to_coco(image_id=7, category_ids=ids)
    assert one['category_id'] == 30
    with pytest.raises(ValueError, match="expected an id of 'scratch'"):
        boxes().to_coco(image_id=7, category_ids={'dent': 40})


def test_feature_regions_of_a_map_as_coco_and_labelme() -> None:
    one, pixel = anomaly().to_coco()
    assert (one['bbox'], one['category_id']) == ([10.0, 5.0, 20.0, 10.0], 1)
    assert len(one['segmentation'][0]) == len(pixel['segmentation'][0]) == 8
    shapes = anomaly().to_labelme()['shapes']
    assert [shape['shape_type'] for shape in shapes] == ['polygon'] * 2
    assert [shape['label'] for shape in shapes] == ['anomaly'] * 2


def test_feature_our_own_converter_reads_labelme(tmp_path: Path) -> None:
    """A result corrected in LabelMe becomes annotations again."""
    from mmdefect.converters.annotated_shapes import labelme_images

    assert cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((40, 60, 3), np.uint8))
    for found, name in ((boxes(), 'scratch'), (anomaly(), 'anomaly')):
        text = json.dumps(found.to_labelme())
        (tmp_path / 'a.json').write_text(text, encoding='utf-8')
        ((image, size, draw),) = labelme_images(tmp_path, line_width=None)
        assert (image, size) == ('a', SIZE[::-1])
        layers = list(draw())
        assert {layer[0] for layer in layers} == {name}
        # The outline of pixels 10 to 30 and 5 to 15, or the rectangle of the box.
        assert 150 < int(layers[0][1].sum()) <= 231
    found = label().to_labelme()
    assert (found['flags'], found['shapes']) == ({'broken': True}, [])
    assert (found['imageWidth'], found['imageHeight']) == SIZE


def test_feature_supervision() -> None:
    import supervision

    found = boxes().to_supervision(everything=True)
    assert isinstance(found, supervision.Detections)
    np.testing.assert_array_equal(found.xyxy, BOXES.boxes)
    assert found['class_name'].tolist() == ['scratch', 'dent', 'scratch']
    found = anomaly().to_supervision()
    assert found.mask.shape == (2, 40, 60)
    assert found.mask.sum(axis=(1, 2)).tolist() == [200, 4]
    assert len(anomaly(None).to_supervision()) == 0


def test_exception_supervision_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'supervision', None)
    with pytest.raises(ImportError, match='run `pip install supervision`'):
        boxes().to_supervision()


@pytest.mark.parametrize('form', ['to_coco', 'to_supervision'])
def test_exception_a_class_has_no_place(form: str) -> None:
    settings = {'image_id': 1} if form == 'to_coco' else {}
    with pytest.raises(ValueError, match=f'^{form} of a result with task='):
        getattr(label(), form)(**settings)
    with pytest.raises(ValueError, match=r'in/b\.png: expected a result, there is an'):
        getattr(BROKEN, form)(**settings)


def test_feature_one_line_of_odd_names() -> None:
    """Nothing in a name moves the cursor; JSON has the name itself."""
    name = 'in\n/' + 'long/' * 80 + 'a\x1b[2J.png'
    for one in (
        decide(BOXES, DETECTOR, source=name, size=SIZE),
        failed('no\x1b image', DETECTOR, source=name),
    ):
        assert str(one).isprintable()
        assert str(one).startswith(r'in\n/long/')
        assert r'long/a\x1b[2J.png: ' in str(one)
        assert one.to_dict()['source'] == name
    odd = ModelSpec(task='boxes', classes=('dent', 'scr\ratch'), default_threshold=0.3)
    assert r'scr\ratch' in str(decide(BOXES, odd, source='a.png', size=SIZE))


def test_feature_one_line() -> None:
    assert str(boxes()) == ('in/a.png: defective, 1 scratch, score 0.9, threshold 0.5')
    assert str(label()) == (
        'in/a.png: defective (not calibrated), broken 40 %, score 0.4, threshold 0.25'
    )
    assert str(anomaly()) == (
        'in/a.png: defective, score 2.6, threshold 2, product metal'
    )
    assert str(BROKEN) == 'in/b.png: error, no image'


@pytest.mark.parametrize('size', [(200, 160), (4000, 1000), (60, 2000)])
@pytest.mark.parametrize('task', ['boxes', 'labels', 'maps'])
def test_shape_pictures(task: str, size: tuple[int, int]) -> None:
    """A line above the picture, in the decision's colour, with letters to read."""
    width, height = size
    image = np.full((height, width, 3), 128, np.uint8)
    corner = np.array([[0.2 * width, 0.3 * height, 0.6 * width, 0.7 * height]])
    outputs = {
        'boxes': BoxOutput(
            boxes=corner.astype(np.float32),
            scores=np.array([0.9], np.float32),
            labels=np.array([1]),
        ),
        'labels': LabelOutput(probabilities=np.array([0.9, 0.1])),
        'maps': MapOutput(
            anomaly_map=np.linspace(0, 3, width * height, dtype=np.float32).reshape(
                height, width
            ),
            score=3.0,
        ),
    }
    spec = {'boxes': DETECTOR, 'labels': CLASSIFIER, 'maps': MAPS}[task]
    found = decide(outputs[task], spec, source='a.png', size=size, product=None)
    before = image.copy()
    drawn = found.draw(image)
    np.testing.assert_array_equal(image, before)
    factor = max(1, 600 // max(size))
    assert drawn.shape[1] == factor * width
    banner = drawn.shape[0] - factor * height
    assert 18 <= banner <= 0.05 * max(drawn.shape) + 20
    dark = (drawn[:banner] < 60).all(axis=2)
    assert 0.002 < dark.mean() < 0.5  # letters
    if task == 'boxes':
        x, y = (round(factor * v) for v in corner[0, :2])
        assert not (drawn[banner + y, x : x + 10 * factor] == 128).all()
    if task != 'maps':
        red = found.decision == 'defective'
        assert (drawn[2, 2] == ((60, 60, 220) if red else drawn[2, 2])).all()


def test_feature_defects_alone_are_drawn() -> None:
    image = np.full((40, 60, 3), 128, np.uint8)
    clean = decide(
        BoxOutput(boxes=BOXES.boxes[2:], scores=BOXES.scores[2:], labels=np.array([1])),
        DETECTOR,
        source='a',
        size=SIZE,
    ).draw(image)
    banner = clean.shape[0] - 400
    assert (clean[banner:] == 128).all()
    assert not (boxes().draw(image)[banner:] == 128).all()


def test_feature_the_map_is_outlined_at_its_threshold() -> None:
    image = np.full((40, 60, 3), 128, np.uint8)
    drawn = anomaly().draw(image)
    banner = drawn.shape[0] - 400
    row = drawn[banner + 100]
    assert (row[95:106] == 255).all(axis=1).any()  # the left edge, white
    flat = Prediction(
        source='a', task='maps', size=SIZE, anomaly_map=np.full((40, 60), np.nan)
    )
    assert flat.draw(image).shape == drawn.shape


def test_feature_text_fits() -> None:
    text, _, width = fitted('a very long line of text ' * 10, 10, 300)
    assert text.endswith('..')
    assert width <= 300
    assert fitted('short', 10, 300)[0] == 'short'
    assert plain_letters('Müll größer 你') == 'Mull grosser ?'


def test_feature_picture_is_read_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    assert cv2.imwrite(str(path), np.full((40, 60, 3), 9, np.uint8))
    found = decide(BOXES, DETECTOR, source=str(path), size=SIZE)
    assert found.draw().shape[1] == 600
    with pytest.raises(ValueError, match=r"image=None: expected the picture, 'in/a\.p"):
        boxes().draw()
    with pytest.raises(ValueError, match='image of 5x5 pixels: expected the 60x40 of'):
        boxes().draw(np.zeros((5, 5, 3), np.uint8))


def test_feature_saved_without_collisions(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    sources = ['one/a.png', 'two/a.png', 'one/a.jpg', 'v.mp4#3', 'größe ä/ü ?.png']
    paths = [
        decide(BOXES, DETECTOR, source=source, size=SIZE).save(tmp_path / 'out', image)
        for source in sources
    ]
    assert len(set(paths)) == len(sources)
    assert len(list((tmp_path / 'out').iterdir())) == 2 * len(sources)
    for path, source in zip(paths, sources, strict=True):
        content = json.loads(path.read_text(encoding='utf-8'))
        assert content['source'] == source
        assert len(content['boxes']) == 3
        assert cv2.imread(str(path.with_name(content['picture']))).shape[1] == 600
    assert paths[4].name.startswith('ü_.png-')
    again = boxes().save(tmp_path / 'out', image)
    assert again.name.startswith('a.png-')
    assert len(file_stem('x' * 500)) < 100
    assert len(file_stem('\U00020000' * 60).encode()) < 200
    assert file_stem('\ud800.png') != file_stem('\ud801.png')  # bytes, no letters


def test_feature_saved_map_and_error(tmp_path: Path) -> None:
    path = anomaly().save(tmp_path, picture=False, with_map=True)
    content = json.loads(path.read_text(encoding='utf-8'))
    found = np.load(tmp_path / content['map']['path'])
    np.testing.assert_array_equal(found, anomaly().anomaly_map)
    assert 'picture' not in content
    path = BROKEN.save(tmp_path)
    assert json.loads(path.read_text(encoding='utf-8'))['error'] == 'no image'
    assert sorted(p.suffix for p in tmp_path.iterdir()) == ['.json', '.json', '.npy']


def test_feature_what_is_not_on_record_says_so() -> None:
    """In a line as in plain data, before all other doubts."""
    note = 'served without a whole record: its row is not written'
    found = Prediction(source='a', task='boxes', decision='ok', unrecorded=note)
    assert str(found).endswith(note)
    assert found.to_dict()['note'] == f'{note}; not calibrated'
