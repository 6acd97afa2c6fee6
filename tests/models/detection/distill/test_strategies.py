"""What strategies make of their terms: which, how much, and over how many images."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from mmengine.config import ConfigDict

from mmdefect.models.detection.distill import strategies
from mmdefect.models.detection.distill.strategies import (
    ElasticDistillation,
    LogitDistillation,
    QualityDistillation,
    SelectiveDistillation,
)
from mmdefect.registry import MODELS
from tests.models.detection.conftest import DISTILL
from tests.models.detection.distill.conftest import (
    BOXES,
    Maps,
    as_context,
    prior_grid,
    random_context,
    random_maps,
    student_of,
)


def made(name, **changes):
    return MODELS.build({**DISTILL[name], **changes})


STRATEGIES = {
    'erd': ElasticDistillation,
    'quality': QualityDistillation,
    **{name: partial(made, name) for name in DISTILL},
}
# Together they hold every term.
each = pytest.mark.parametrize('strategy', [STRATEGIES['all'], STRATEGIES['release']])


def losses_of(strategy, context):
    return {k: v for k, v in strategy(context).items() if 'loss' in k}


@pytest.mark.parametrize(
    ('name', 'terms'),
    [
        ('sd_idd', ['cls', 'box', 'feat']),
        ('erd', ['cls', 'elastic']),
        ('lwf', ['cls']),
        ('quality', ['quality', 'elastic']),
        ('release', ['cls', 'box', 'feat', 'ring', 'elastic', 'kd']),
        ('all', ['cls', 'box', 'feat', 'ring', 'elastic', 'quality']),
    ],
)
def test_smoke_terms_of_a_method(name, terms):
    """One loss and one count each; mmdet sums whatever has 'loss' in its name."""
    found = STRATEGIES[name]()(random_context(old=2, new=2))
    losses = [f'loss_dist_{term}' for term in terms]
    counts = [f'priors_{term}' for term in terms]
    assert [key for key in found if 'loss' in key] == losses
    assert [key for key in found if 'loss' not in key] == counts
    assert all(value.shape == () for value in found.values())
    assert all(found[key].item() > 0 for key in losses)
    assert all(found[key].item() > 0 for key in counts)
    assert all(found[key].requires_grad for key in losses)


def test_feature_losses_are_the_weighted_terms():
    """Over the two images: the released sum of (a) and (b), the mean of (c)."""
    context = random_context()
    strategy = SelectiveDistillation(
        classification={'weight': 3.0}, regression={'weight': 0.5}
    )
    found = strategy(context)
    values = {name: term(context) for name, term in strategy.terms.items()}
    expected = {
        'loss_dist_cls': 3.0 * values['cls'][0].sum(),
        'loss_dist_box': 0.5 * values['box'][0].sum(),
        'loss_dist_feat': 2.0 * values['feat'][0].mean(),
    }
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)
    for name, (_, sizes) in values.items():
        assert found[f'priors_{name}'].item() == sizes.float().mean().item()


@pytest.mark.parametrize('name', ['sd_idd', 'erd', 'lwf', 'quality'])
def test_feature_built_from_a_config(name):
    built = STRATEGIES[name]()
    config = ConfigDict(
        type=f'mmdefect.{type(built).__name__}', classification=dict(weight=7.0)
    )
    terms = MODELS.build(config).terms
    assert next(iter(terms.values())).weight == 7.0
    assert not built.state_dict()
    assert not list(built.parameters())


@pytest.mark.parametrize(
    ('switch', 'names'),
    [
        ({'classification': False, 'features': None, 'ring': {}}, ['box', 'ring']),
        ({'elastic': True, 'regression': False}, ['cls', 'feat', 'elastic']),
        (dict.fromkeys(('classification', 'regression', 'features'), False), []),
    ],
)
def test_feature_switches(switch, names):
    strategy = SelectiveDistillation(**switch)
    assert list(strategy.terms) == names
    found = strategy(random_context())
    assert [key for key in found if 'loss' in key] == [f'loss_dist_{n}' for n in names]


def test_feature_settings_are_passed_on():
    """A term's own defaults stay; the ring keeps its divisor, 16 as released."""
    strategy = SelectiveDistillation(
        classification={'num_std': 1.0},
        regression=ConfigDict(temperature=5.0, br_weight='teacher_iou'),
        ring={'weight': 0.5},
    )
    terms = strategy.terms
    assert (terms['cls'].num_std, terms['cls'].weight) == (1.0, 1.0)
    assert (terms['box'].temperature, terms['box'].divisor) == (5.0, 4.0)
    assert (terms['box'].br_weight, terms['box'].region) == ('teacher_iou', 'fitting')
    assert (terms['ring'].weight, terms['ring'].divisor) == (0.5, 16.0)
    assert (terms['ring'].region, terms['ring'].br_weight) == ('ring', 'prior_iou')
    ring = SelectiveDistillation(ring={'divisor': 4.0}).terms['ring']
    assert (ring.region, ring.divisor) == ('ring', 4.0)
    assert LogitDistillation(classification={'weight': 3}).terms['cls'].region == 'all'


@pytest.mark.parametrize('switch', [1, 'on', ['weight', 1.0]])
def test_exception_switch(switch):
    message = r'^OldLogits=.*: expected True, False or its settings as a dict'
    with pytest.raises(TypeError, match=message):
        SelectiveDistillation(classification=switch)


# Batches


def some(maps, images) -> Maps:
    """Images of a batch, in any order and number."""
    return maps.map(lambda level: level[images])


def context_of(images, old=2, new=2):
    """Three images with two, one and no boxes, each as often as it is listed."""
    boxes = (*BOXES, ())
    teacher = random_maps(3, old)
    student = student_of(teacher, new)
    return as_context(
        some(teacher, images), some(student, images), [boxes[i] for i in images]
    )


@each
@pytest.mark.parametrize('per_images', [1, 5])
def test_feature_batch_size_does_not_matter(strategy, per_images):
    """An image k times is the image once."""
    once = losses_of(strategy(per_images=per_images), context_of([0]))
    found = losses_of(strategy(per_images=per_images), context_of([0] * 3))
    torch.testing.assert_close(found, once, rtol=1e-5, atol=1e-8)


def test_feature_per_images():
    """Terms that the releases sum over a batch grow with it; (c) never was summed."""
    two, six = (
        losses_of(STRATEGIES['all'](per_images=number), context_of([0, 1]))
        for number in (2, 6)
    )
    ratio = {key: (six[key] / two[key]).item() for key in two}
    assert ratio == {
        'loss_dist_cls': pytest.approx(3),
        'loss_dist_box': pytest.approx(3),
        'loss_dist_feat': 1,
        'loss_dist_ring': pytest.approx(3),
        'loss_dist_elastic': pytest.approx(3),
        'loss_dist_quality': 1,
    }


def test_feature_released_sums():
    """Without ``per_images`` a batch of four costs twice a batch of two, of which the
    default makes the same."""
    two, four, default = (
        losses_of(STRATEGIES['release'](per_images=per_images), context_of(images))
        for per_images, images in ((None, [0, 1]), (None, [0, 1] * 2), (2, [0, 1]))
    )
    ratio = {key: (four[key] / two[key]).item() for key in two}
    assert ratio == {
        'loss_dist_cls': pytest.approx(2),
        'loss_dist_box': pytest.approx(2),
        'loss_dist_feat': pytest.approx(1),
        'loss_dist_ring': pytest.approx(2),
        'loss_dist_elastic': pytest.approx(2),
        'loss_dist_kd': pytest.approx(1),
    }
    for key, value in default.items():
        torch.testing.assert_close(value, two[key])


def test_feature_spread_over_processes(monkeypatch):
    """Three images here and one there: DDP's mean is the loss of all four."""
    strategy = STRATEGIES['all']()
    together = losses_of(strategy, context_of([0, 1, 2, 0]))
    seen = []

    def mean_of_both(images):
        seen.append(images.item())
        return torch.tensor(2.0)

    monkeypatch.setattr(strategies, 'reduce_mean', mean_of_both)
    here = losses_of(strategy, context_of([0, 1, 2]))
    there = losses_of(strategy, context_of([0]))
    assert seen == [3, 1]
    for key, value in together.items():
        torch.testing.assert_close((here[key] + there[key]) / 2, value)


@each
@pytest.mark.parametrize('boxes', [(BOXES[0], ()), ((), ()), ((),)])
def test_feature_images_without_new_boxes(strategy, boxes):
    """Every key, finite and connected, whatever the images hold: DDP needs them all."""
    teacher = random_maps(len(boxes), 2)
    student = student_of(teacher, 2)
    full = strategy()(random_context(old=2, new=2))
    found = strategy()(as_context(teacher, student, boxes))
    assert found.keys() == full.keys()
    for key, value in found.items():
        assert value.isfinite()
        if 'loss' in key:
            value.backward(retain_graph=True)
    around = {'loss_dist_box', 'loss_dist_feat', 'loss_dist_ring', 'loss_dist_kd'}
    empty = not any(boxes)
    for key in around & found.keys():
        assert (found[key].item() == 0) is empty
        assert (found[key.replace('loss_dist', 'priors')].item() == 0) is empty
    first = next(key for key in found if 'loss' in key)  # does not look at new boxes
    assert found[first].item() > 0
    gradients = [x.grad for part in student for x in part if x.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


@each
def test_feature_padding_is_not_compared(strategy):
    """An image of 64 x 96 costs the same alone as padded to 96 x 96 beside another."""
    teacher = random_maps(2, 2)
    student = student_of(teacher, 2)
    cropped = [
        maps.map(lambda level: level[:1, :, : level.shape[2] * 2 // 3])
        for maps in (teacher, student)
    ]
    boxes = ((8.3, 9.1, 40.2, 44.7), (50.4, 48.2, 90.1, 63.6))
    own = as_context(*cropped, [boxes])
    _, _, sizes = prior_grid()
    rows = [
        torch.arange(size) < kept for size, kept in zip(sizes, (96, 24, 6), strict=True)
    ]
    valid = torch.stack([torch.cat(rows), torch.ones(189, dtype=torch.bool)])
    assert valid[0].sum() == len(own.priors)
    both = as_context(teacher, student, [boxes, ()], valid)
    for name, term in strategy().terms.items():
        if getattr(term, 'released', False) and name == 'feat':
            continue  # one mean over the batch, by definition
        (expected,), (size,) = term(own)
        values, counts = term(both)
        torch.testing.assert_close(values[0], expected, rtol=1e-4, atol=1e-7)
        assert counts[0] == size
        everything = as_context(teacher, student, [boxes, ()])
        assert not torch.equal(term(everything)[0][0], values[0])


@each
def test_feature_bfloat16(strategy):
    """The loss code adds nothing to what bfloat16 rounds: maps rounded beforehand."""
    teacher = random_maps(2, 2)
    student = student_of(teacher, 2)
    half = [maps.map(lambda level: level.bfloat16()) for maps in (teacher, student)]
    rounded = [maps.map(lambda level: level.float()) for maps in half]
    exact = losses_of(strategy(), as_context(*rounded, BOXES))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = losses_of(strategy(), as_context(*half, BOXES))
    for key, value in found.items():
        assert value.dtype == torch.float32
        assert value.isfinite()
        torch.testing.assert_close(value, exact[key], rtol=1e-6, atol=0)
    total = sum(losses_of(strategy(), as_context(teacher, student, BOXES)).values())
    assert sum(found.values()).item() == pytest.approx(total.item(), rel=0.02)
    sum(found.values()).backward()
    gradients = [x.grad for part in student for x in part if x.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
