"""A memory of normal patches."""

from __future__ import annotations

import pytest
import torch

from mmdefect.models.anomaly.coreset import IncrementalCoreset
from tests.models.anomaly.conftest import (
    CHANNELS,
    GRID,
    SIZE,
    Taps,
    batch,
    build,
    prepared,
    tiny_backbone_cfg,
)


def coreset(num_classes=2, **changes):
    torch.manual_seed(0)
    settings = {'in_channels': CHANNELS, 'grid': GRID, 'per_class': 5}
    return IncrementalCoreset(
        backbone=Taps(), num_classes=num_classes, **{**settings, **changes}
    ).eval()


def learned(labels=(0, 1, 1, 0), **changes):
    model = coreset(**changes)
    model.train_step(batch(labels), None)
    model.finish_step()
    return model


def test_smoke_from_a_config():
    cfg = {
        'type': 'mmdefect.IncrementalCoreset',
        'backbone': tiny_backbone_cfg(),
        'in_channels': 12,
        'num_classes': 2,
    }
    model = build(cfg, None)
    model.init_weights()
    assert not [p for p in model.parameters() if p.requires_grad]
    grown = build({**cfg, 'num_classes': 3}, None).state_dict()
    rows = [k for k, v in model.state_dict().items() if v.shape != grown[k].shape]
    assert tuple(rows) == model.class_keys


def test_feature_memory_holds_patches_that_were_seen():
    model = learned()
    assert model.filled.tolist() == [5, 5]
    patches = model.patches(prepared(model)['inputs'])
    for label, images in ((0, [0, 3]), (1, [1, 2])):
        own = patches[images].flatten(0, 1)
        for kept in model.memory[label]:
            assert (own - kept).norm(dim=1).min() < 1e-6


def test_feature_patches_are_means_of_neighbours():
    model = coreset()
    data = prepared(model)['inputs']
    features = model.features(data['images'])
    patches = model.patches(data)
    assert patches.shape == (4, GRID * GRID, CHANNELS)
    # Token (1, 2): all of its 3 x 3; token (0, 0): the four that there are.
    torch.testing.assert_close(patches[:, 6], features[:, :, 0:3, 1:4].mean((2, 3)))
    torch.testing.assert_close(patches[:, 0], features[:, :, :2, :2].mean((2, 3)))


def test_feature_maps_are_distances_to_the_nearest_patch():
    model = learned()
    data = prepared(model, labels=(1, 0), start=50)
    found = model(**data, mode='tensor')
    patches = model.patches(data['inputs']).flatten(0, 1)
    memory = model.memory.flatten(0, 1)
    expected = (patches[:, None] - memory).norm(dim=2).amin(dim=1)
    torch.testing.assert_close(
        found, expected.view(2, 1, GRID, GRID), atol=1e-4, rtol=1e-4
    )
    made = model(**data, mode='predict')
    assert made[1].pred_map.shape == (SIZE, SIZE)
    assert made[0].pred_score.isfinite()


def test_feature_what_was_learned_looks_normal():
    """All patches of two images in memory: distance zero; others are farther."""
    model = learned(labels=(0, 1), per_class=GRID * GRID)
    known = model(**prepared(model, labels=(0, 1)), mode='tensor')
    strange = model(**prepared(model, labels=(2, 2), start=9), mode='tensor')
    assert known.max() < 1e-2 * strange.mean()


def test_feature_a_step_fills_the_places_of_its_products():
    model = learned(labels=(0, 0))
    assert model.filled.tolist() == [5, 0]
    before = model.memory[0].clone()
    assert model.remembered().shape == (5, CHANNELS)
    model.train_step(batch((1, 1)), None)
    model.finish_step()
    assert model.filled.tolist() == [5, 5]
    assert torch.equal(model.memory[0], before)


def test_feature_fewer_patches_than_places():
    model = learned(labels=(0,), per_class=50)
    assert model.filled.tolist() == [GRID * GRID, 0]
    assert model.remembered().shape == (GRID * GRID, CHANNELS)
    assert learned(candidates=3).filled.tolist() == [3, 3]


def test_feature_cached_features():
    model = learned()
    data = prepared(model)
    features = model.features(data['inputs']['images'])
    assert torch.equal(model({'features': features}), model(**data))


def test_exception_nothing_in_memory():
    model = coreset()
    with pytest.raises(ValueError, match=r'^memory without patches'):
        model(**prepared(model))


def test_exception_mode():
    model = learned()
    with pytest.raises(
        ValueError, match=r"^mode='loss': expected one of predict, tensor"
    ):
        model(**prepared(model), mode='loss')


def test_exception_channels():
    model = coreset(in_channels=12)
    with pytest.raises(ValueError, match=rf'^in_channels=12: expected {CHANNELS}'):
        model.train_step(batch(), None)


def test_feature_a_full_memory_is_not_copied():
    model = learned()
    assert model.remembered().data_ptr() == model.memory.data_ptr()
    assert torch.equal(model.remembered(), model.memory.flatten(0, 1))


def test_feature_candidates_hang_on_the_images_alone():
    """Not on their order, nor on a seed; and no more than these are held."""
    kept = []
    for number, order in enumerate(((0, 1, 2, 3), (3, 1, 0, 2))):
        model = coreset(candidates=20, per_class=20)
        torch.manual_seed(number)
        for image in order:
            model.train_step(batch((0,), start=image), None)
        assert len(model._seen[0]) == 20
        model.finish_step()
        kept.append(model.memory[0])
    assert torch.equal(*kept)
