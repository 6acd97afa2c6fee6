"""What a teacher said is kept by the content of the image."""

from __future__ import annotations

import pytest
import torch

from mmdefect.models.detection.distill.strategies import Distillation
from mmdefect.models.detection.distill.terms import OldLogits
from mmdefect.models.detection.teacher_cache import TeacherCache
from tests.models.detection.conftest import (
    build,
    make_batch,
    make_student,
    perturb,
    split_losses,
    student_cfg,
)
from tests.models.detection.test_teacher import calls_of


def remembering(teacher_file, distill='lwf', size=10, **backbone):
    torch.manual_seed(1)
    cfg = student_cfg(distill, teacher_file, **backbone)
    student = build({**cfg, 'teacher_cache_mb': size})
    student.init_weights()
    return student.train()


def distillation_of(student, seed=0):
    return split_losses(student.loss(*make_batch(seed=seed)))[1]


@pytest.mark.parametrize('distill', ['lwf', 'all', 'cross'])
def test_feature_the_same_losses(teacher_file, distill):
    plain = make_student(teacher_file, distill)
    cached = remembering(teacher_file, distill)
    perturb(plain, 0.05, seed=3)
    perturb(cached, 0.05, seed=3)
    expected = distillation_of(plain)
    for _ in range(2):
        losses = distillation_of(cached)
        assert losses.keys() == expected.keys()
        for name, value in losses.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-6)


def test_feature_an_image_is_looked_at_once(teacher_file):
    """Wherever it stands in a batch, and flipped it is another one."""
    teacher = remembering(teacher_file).teacher
    images, _ = make_batch()
    with calls_of(teacher.bbox_head) as calls:
        first = teacher(images)
        again = teacher(images.flip(0))
        assert len(calls) == 2
        teacher(images.flip(3))
        assert len(calls) == 4
    assert torch.equal(again.classes, first.classes.flip(0))
    assert len(teacher.cache) == 4


def test_feature_does_not_depend_on_the_batch(teacher_file):
    """To the last bit, with stages that the student shares: as after a resume."""
    images, _ = make_batch()
    whole = remembering(teacher_file, 'all', frozen_stages=1)
    other = remembering(teacher_file, 'all', frozen_stages=1)
    with torch.no_grad(), whole.teacher.prefix.recorded():
        whole.extract_feat(images)
        outputs = whole.teacher(images)
    for index, image in enumerate(images):
        alone = other.teacher(image[None])
        assert torch.equal(alone.classes[0], outputs.classes[index])
        assert torch.equal(alone.boxes[0], outputs.boxes[index])
        for ours, theirs in zip(alone.features, outputs.features, strict=True):
            assert torch.equal(ours[0], theirs[index])


def test_shape_only_what_is_read_is_kept(teacher_file):
    images, _ = make_batch()
    logits = remembering(teacher_file).teacher
    every = remembering(teacher_file, 'all').teacher
    few, all_of_it = logits(images), every(images)
    assert few.classes.shape == all_of_it.classes.shape == (2, 189, 3)
    assert (few.boxes.shape, all_of_it.boxes.shape) == ((2, 0, 4, 17), (2, 189, 4, 17))
    assert few.has_distributions
    assert [level.shape[1] for level in few.features] == [0, 0, 0]
    assert 0 <= logits.cache.bytes - few.classes.nbytes <= 5_000


def test_feature_who_may_read_more_gets_all() -> None:
    """A term or a strategy of a user that adds to ours, without saying so."""

    class More(OldLogits):
        pass

    class Said(OldLogits):
        reads = ('classes', 'boxes')

    class Other(Distillation):
        def forward(self, context):
            return {}

    every = {'classes', 'boxes', 'features'}
    read = {
        term: Distillation(terms={'a': term()}).reads
        for term in (OldLogits, More, Said)
    }
    assert read == {OldLogits: {'classes'}, More: every, Said: {'classes', 'boxes'}}
    assert Other(terms={'a': OldLogits()}).reads == every
    with pytest.raises(ValueError, match=r"reads='class': expected one of classes, "):
        TeacherCache(1, parts=['class'])


def test_feature_full_keeps_no_more_and_still_answers(teacher_file):
    images, _ = make_batch()
    teacher = remembering(teacher_file, size=6_000 / 1e6).teacher  # of one image
    expected = teacher(images)
    with calls_of(teacher.bbox_head) as calls:
        assert torch.equal(teacher(images).classes, expected.classes)
        assert len(calls) == 1
    assert len(teacher.cache) == 1
    assert teacher.cache.bytes <= 6_000


def test_feature_what_reads_nothing_is_limited(teacher_file):
    cache = TeacherCache(0.01, parts=[])
    teacher = make_student(teacher_file, 'lwf').teacher
    for number in range(20):
        cache(teacher, torch.full((1, 3, 64, 64), float(number)))
    assert len(cache) == 5


@pytest.mark.parametrize('size', [-1, float('nan'), 'much', True])
def test_exception_no_size(size):
    with pytest.raises(ValueError, match='teacher_cache_mb='):
        build({**student_cfg('lwf'), 'teacher_cache_mb': size})
    with pytest.raises(ValueError, match='teacher_cache_mb='):
        TeacherCache(size)
