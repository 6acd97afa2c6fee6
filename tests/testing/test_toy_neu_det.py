from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmdefect.converters.neu_det import convert_neu_det
from mmdefect.converters.voc import read_voc_folder
from mmdefect.datasets.boxes.class_split import cooccurrence_table
from mmdefect.datasets.boxes.classes import NEU_DET_CLASSES
from mmdefect.testing.textures import crop_to_content
from mmdefect.testing.toy_neu_det import FOLDERS, KINDS, VISIBLE, make_toy_neu_det

XML = (
    '<annotation>\n\t<folder>cr</folder>\n\t<filename>crazing_1.jpg</filename>\n'
    '\t<source>\n\t\t<database>NEU-DET</database>\n\t</source>\n'
    '\t<size>\n\t\t<width>64</width>\n\t\t<height>64</height>\n'
    '\t\t<depth>1</depth>\n\t</size>\n\t<segmented>0</segmented>\n'
    '\t<object>\n\t\t<name>crazing</name>\n\t\t<pose>Unspecified</pose>\n'
    '\t\t<truncated>0</truncated>\n\t\t<difficult>0</difficult>\n'
)


def test_smoke_names_and_layout(tmp_path: Path) -> None:
    root = make_toy_neu_det(tmp_path / 'NEU-DET', per_class=2, size=64)
    stems = [f'{name}_{i}' for name in NEU_DET_CLASSES for i in (1, 2)]
    for folder, suffix in (('IMAGES', '.jpg'), ('ANNOTATIONS', '.xml')):
        names = {path.name for path in (root / folder).iterdir()}
        assert names == {f'{stem}{suffix}' for stem in stems}
    image = Image.open(root / 'IMAGES/scratches_1.jpg')
    assert (image.size, image.mode) == ((64, 64), 'RGB')
    assert len({band.tobytes() for band in image.split()}) == 1


def test_smoke_xml_is_written_as_in_the_real_set(tmp_path: Path) -> None:
    root = make_toy_neu_det(tmp_path, per_class=1, size=64)
    text = (root / 'ANNOTATIONS/crazing_1.xml').read_text(encoding='utf-8')
    assert text.startswith(XML)
    assert list(FOLDERS.values()) == ['cr', 'in', 'pa', 'ps', 'rs', 'sc']


@pytest.mark.parametrize(
    ('seed', 'number'), [(0, 30), pytest.param(1, 90, marks=pytest.mark.slow)]
)
def test_feature_unlabelled_old_objects(tmp_path: Path, seed: int, number: int) -> None:
    """Also of the demo's size, which is slow: 540 images."""
    start = time.process_time()  # not the wall clock: other processes may run
    root = make_toy_neu_det(tmp_path, seed=seed, per_class=number)
    assert time.process_time() - start < 8  # fast enough for the demo
    coco, report = convert_neu_det(root, seed=seed)['train']
    steps = [NEU_DET_CLASSES[:3], NEU_DET_CLASSES[3:]]
    step = cooccurrence_table(coco, steps).steps[1]
    assert report.images == round(0.8 * number) * 6
    assert not report.errors + report.degenerate + report.out_of_frame
    assert 0.05 <= step.old / step.images <= 0.20


def test_feature_no_mixed_images(tmp_path: Path) -> None:
    root = make_toy_neu_det(tmp_path, per_class=8, size=64, mixed=0)
    for record in read_voc_folder(root)[0]:
        kind = Path(record.file_name).stem.rsplit('_', 1)[0]
        assert {name for name, _ in record.objects} == {kind}
        assert 1 <= len(record.objects) <= 3


def test_feature_mixed_images_show_exactly_two_kinds(tmp_path: Path) -> None:
    root = make_toy_neu_det(tmp_path, per_class=8, size=64, mixed=1)
    for record in read_voc_folder(root)[0]:
        names = [name for name, _ in record.objects]
        kind = Path(record.file_name).stem.rsplit('_', 1)[0]
        assert kind in names
        assert len(set(names)) == 2
        assert len(names) - names.count(kind) == 1


def test_feature_instances_do_not_overlap(tmp_path: Path) -> None:
    for record in read_voc_folder(make_toy_neu_det(tmp_path, per_class=10))[0]:
        covered = np.zeros((96, 96), int)
        for _, (x1, y1, x2, y2) in record.objects:
            covered[y1:y2, x1:x2] += 1
        assert covered.max() == 1


@pytest.mark.parametrize('kind', KINDS)
def test_feature_kinds_are_visible_and_tight(kind: str) -> None:
    for seed in range(20):
        delta = KINDS[kind](np.random.default_rng(seed), 96)
        tight = crop_to_content(delta, VISIBLE)
        visible = np.abs(tight) > VISIBLE
        assert np.abs(tight).max() > 40
        assert min(tight.shape) >= 5
        assert visible[0].any()
        assert visible[-1].any()
        assert visible[:, 0].any()
        assert visible[:, -1].any()


def test_feature_boxes_show_something(tmp_path: Path) -> None:
    """Inside the boxes the surface varies far more than outside."""
    root = make_toy_neu_det(tmp_path, per_class=4)
    for record in read_voc_folder(root)[0]:
        image = cv2.imread(str(root / record.file_name), cv2.IMREAD_GRAYSCALE)
        outside = np.ones(image.shape, bool)
        for _, (x1, y1, x2, y2) in record.objects:
            outside[y1 - 1 : y2 + 1, x1 - 1 : x2 + 1] = False
        for _, (x1, y1, x2, y2) in record.objects:
            assert np.ptp(image[y1:y2, x1:x2]) > 3.5 * image[outside].std()
