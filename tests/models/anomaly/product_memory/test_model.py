"""One memory for every product."""

from __future__ import annotations

import math

import pytest
import torch

from mmdefect.models.anomaly.product_memory.bank import FIELDS
from mmdefect.models.anomaly.product_memory.model import ProductMemory
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

# Four of ten images certify 30 % at 70 %.
ALARM = {'rate': 0.3, 'confidence': 0.7}


def memory(num_classes=2, **changes):
    torch.manual_seed(0)
    settings = {
        **{'in_channels': CHANNELS, 'grid': GRID, 'per_class': 30, 'alarm': ALARM},
        **{'margin': 20.0, 'sigma': 0.0},
    }
    return ProductMemory(
        backbone=Taps(), num_classes=num_classes, **{**settings, **changes}
    ).eval()


def show(model, label, count=10, start=0):
    model.train_step(batch([label] * count, start=start + 100 * label), None)


def learned(labels=(0, 1), num_classes=2, **changes):
    model = memory(num_classes, **changes)
    for label in labels:
        show(model, label)
    model.finish_step()
    return model


def predicted(model, labels=(1, 0), start=500, **told):
    data = prepared(model, labels=labels, start=start)
    for sample in data['data_samples']:
        sample.set_metainfo(told)
    return model(**data, mode='predict')


def banks_of(model):
    return {k: v.clone() for k, v in model.state_dict().items() if 'banks' in k}


def test_smoke_from_a_config():
    cfg = {
        'type': 'mmdefect.ProductMemory',
        'backbone': tiny_backbone_cfg(),
        'in_channels': 12,
        'num_classes': 2,
    }
    model = build(cfg, None)
    model.init_weights()
    assert not [p for p in model.parameters() if p.requires_grad]
    assert model.class_keys == ()
    assert model.alarms() == [None, None]


def test_feature_prediction():
    model = learned()
    one, two = predicted(model)
    assert (int(one.pred_product), int(two.pred_product)) == (1, 0)
    assert one.pred_map.shape == (SIZE, SIZE)
    assert (one.pred_map >= 0).all()
    maps = model(prepared(model, labels=(1, 0), start=500)['inputs'], mode='tensor')
    assert maps.shape == (2, 1, GRID, GRID)
    # The highest of 16 patches, which is 1 at the alarm.
    torch.testing.assert_close(one.pred_score, maps[0].max())
    assert bool(one.pred_alarm) == bool(one.pred_score > 1)


def test_feature_a_score_of_one_is_the_alarm():
    model = learned()
    limit = model.alarms()[1]
    assert (limit.number, limit.certified) == (4, True)
    raw = model.banks[1].distances(
        model.patches(prepared(model, labels=(1,), start=500)['inputs']), 'bank'
    )
    made = model(prepared(model, labels=(1,), start=500)['inputs'], mode='tensor')
    torch.testing.assert_close(made.flatten(), raw.flatten() / limit.threshold)


def test_feature_held_out_images_have_the_scores_that_were_kept():
    """Four of the ten: their predictions are what the alarm was chosen from."""
    model = learned()
    scores = [float(s.pred_score) for s in predicted(model, [1] * 10, start=100)]
    limit = model.alarms()[1].threshold
    kept = sorted((model.banks[1].held[-1] / limit).tolist())
    assert [min(abs(k - s) for s in scores) < 1e-3 for k in kept] == [True] * 4
    assert max(kept) == 1.0


def test_feature_each_image_is_compared_with_its_product_alone():
    """Whatever else is in memory: the same map."""
    alone, both = learned((0,)), learned()
    data = prepared(both, labels=(0, 0), start=500)['inputs']
    assert torch.equal(alone(data, mode='tensor'), both(data, mode='tensor'))


def test_feature_an_unknown_product():
    model = learned((0, 1), margin=1.5)
    (sample,) = predicted(model, labels=(2,))
    assert int(sample.pred_product) == -1
    assert bool(sample.pred_alarm)
    assert sample.pred_score.isfinite()
    never = learned((0, 1), margin=None)
    assert int(predicted(never, labels=(2,))[0].pred_product) >= 0


def test_feature_a_large_defect_is_no_unknown_product():
    """However far the image: half of it is what the product looks like."""
    model = learned((0, 1), margin=0.0)
    data = prepared(model, labels=(1,), start=500)
    data['inputs']['images'][..., :1] += 30
    (sample,) = model(**data, mode='predict')
    assert bool(sample.pred_alarm)
    assert int(sample.pred_product) == 1
    data['inputs']['images'][..., 1:] += 30
    assert int(model(**data, mode='predict')[0].pred_product) == -1


def test_feature_the_product_is_given():
    wrong = predicted(learned(), labels=(1,), told_product=0)[0]
    assert int(wrong.pred_product) == 0
    model = learned(route='given')
    assert int(predicted(model, labels=(1,))[0].pred_product) == 1
    assert int(predicted(model, labels=(1,), told_product=0)[0].pred_product) == 0
    # What is believed is what an image recognised as that product gets.
    routed = learned(route='image')
    right = predicted(routed, labels=(1,))[0].pred_map
    assert torch.equal(predicted(model, labels=(1,))[0].pred_map, right)


def test_feature_the_product_that_suits_best():
    model = learned(route='all')
    made = predicted(model)
    assert [int(sample.pred_product) for sample in made] == [1, 0]
    given = [
        predicted(learned(route='given'), labels=(1,), told_product=k)[0].pred_score
        for k in (0, 1)
    ]
    assert made[0].pred_score == pytest.approx(float(min(given)))


def test_feature_a_step_leaves_old_banks_alone():
    """After three steps, bit by bit."""
    model = memory(3)
    kept = {}
    for label in range(3):
        show(model, label)
        model.finish_step()
        now = banks_of(model)
        for key, value in kept.items():
            assert torch.equal(now[key], value), key
        kept = {k: v for k, v in now.items() if int(k.split('.')[1]) <= label}
    assert len(kept) == 3 * len(FIELDS)


def test_feature_a_budget_cuts_all_banks_to_prefixes():
    whole = learned((0, 1), 3)
    before = [len(bank.vectors) for bank in whole.banks]
    assert before == [30, 30, 0]
    budget = 2 * max(bank.nbytes for bank in whole.banks) / 1e6
    model = learned((0, 1), 3, budget_mb=budget)
    old = banks_of(model)
    assert [len(bank.vectors) for bank in model.banks] == before
    show(model, 2)
    model.finish_step()
    assert sum(bank.nbytes for bank in model.banks) <= budget * 1e6
    for label in (0, 1):
        bank = model.banks[label]
        assert 0 < len(bank.vectors) < 30
        for name, value in bank.named_buffers():
            was = old[f'banks.{label}.{name}']
            assert torch.equal(value, was[: len(value)]), name
        assert model.alarms()[label].threshold >= whole.alarms()[label].threshold


def test_feature_weights_load():
    model = learned((0, 1), 3)
    fresh = memory(3)
    fresh.load_state_dict(model.state_dict(), strict=True)
    data = prepared(model, labels=(1, 0), start=500)['inputs']
    assert torch.equal(fresh(data, mode='tensor'), model(data, mode='tensor'))


def test_feature_banks_move_by_name():
    """A product of another place finds its own; new ones stay empty."""
    old, new = learned(), memory(3)
    state = new.moved(old.state_dict(), ['b', 'c'], ['a', 'b', 'c'])
    new.load_state_dict(state, strict=True)
    assert [bank.is_filled for bank in new.banks] == [False, True, True]
    for mine, theirs in ((1, 0), (2, 1)):
        one, other = new.banks[mine], old.banks[theirs]
        for name, value in one.named_buffers():
            assert torch.equal(value, getattr(other, name))


def test_feature_cached_features():
    model = memory()
    for label in (0, 1):
        data = batch([label] * 10, start=100 * label)
        images = model.data_preprocessor(data, True)['inputs']['images']
        features = model.features(images)
        data['inputs'] = {'features': list(features)}
        model.train_step(data, None)
    model.finish_step()
    for name, value in banks_of(learned()).items():
        torch.testing.assert_close(banks_of(model)[name], value)
    assert model.learned_with()['size'] == [SIZE, SIZE]


def test_feature_learned_anew(monkeypatch):
    said: list[str] = []
    where = 'mmdefect.models.anomaly.product_memory.model.print_log'
    monkeypatch.setattr(where, lambda text, logger: said.append(text))
    model = learned(replace=True)
    before = banks_of(model)
    show(model, 1, start=50)
    model.finish_step()
    changed = {
        k.split('.')[1] for k, v in banks_of(model).items() if not same(v, before[k])
    }
    assert changed == {'1'}
    limit = f'{float(before["banks.1.held"][-1].max()):.4g}'
    assert said[2:3] == [
        "product 'dots' is learned anew: what was learned from 6 good images is gone, "
        f'with its alarm at {limit}'
    ]
    assert said[3].startswith("product 'dots': learned from 6 good images, 30 patches")


def same(one, other):
    return one.shape == other.shape and torch.equal(one, other)


def test_feature_further_views():
    """Flipped images look as good as those that were learned."""
    plain, flipped = learned(), learned(augment=['hflip', 'rot90'], per_class=480)
    assert flipped.needs_images
    assert len(flipped.banks[0].vectors) > len(plain.banks[0].vectors)
    data = prepared(flipped, labels=(0,) * 10)['inputs']
    turned = {'images': data['images'].flip(-1)}
    maps = flipped.banks[0].distances(flipped.patches(turned), 'bank')
    # Six of the ten are remembered whole, however they are turned.
    assert int((maps.amax(dim=1) < 0.05).sum()) == 6


class TestRefused:
    def test_exception_nothing_in_memory(self):
        with pytest.raises(ValueError, match=r'^memory without products'):
            predicted(memory())

    def test_exception_learned_twice(self):
        model = learned()
        with pytest.raises(
            ValueError, match=r"^product 'dots' was learned already, from 6 good images"
        ):
            show(model, 1)

    def test_exception_too_few_images(self):
        model = memory()
        show(model, 1, 3)
        with pytest.raises(ValueError, match=r"^product 'dots' has 3 different good"):
            model.finish_step()

    def test_exception_identical_images(self):
        model = memory()
        data = batch([0] * 8)
        data['inputs'] = [data['inputs'][0]] * 8
        model.train_step(data, None)
        with pytest.raises(ValueError, match=r'1 different good images and 7 copies'):
            model.finish_step()

    def test_exception_features_that_are_not_finite(self):
        model = learned()
        with torch.no_grad():
            model.features.backbone.first.bias.fill_(math.nan)
        model._agreed = True
        with pytest.raises(ValueError, match=r'^features are NaN or infinite'):
            predicted(model)
        fresh = memory()
        with torch.no_grad():
            fresh.features.backbone.second.bias.fill_(1e6)
        with pytest.raises(ValueError, match=r'^0\.png: its features are beyond 65504'):
            show(fresh, 0)

    def test_exception_another_size(self):
        model = learned()
        with pytest.raises(
            ValueError, match=r'^images of 32 x 32 pixels: expected 16 x 16'
        ):
            predicted_at(model, 32)

    def test_exception_another_encoder(self):
        """Weights of one memory, with an encoder of another."""
        model = learned((0, 1), 3)
        state = model.state_dict()
        state['features.backbone.first.bias'] = torch.ones(4)
        fresh = memory(3)
        fresh.load_state_dict(state)
        with pytest.raises(ValueError, match=r'^the memory was learned with another '):
            predicted(fresh)
        with pytest.raises(ValueError, match=r'^the memory was learned with another '):
            show(fresh, 2)

    def test_exception_other_settings(self):
        fresh = memory(score='max')
        fresh.load_state_dict(learned().state_dict())
        with pytest.raises(
            ValueError, match=r"^model\.score='max': expected 'top_mean', as the memory"
        ):
            predicted(fresh)

    def test_exception_budget(self):
        with pytest.raises(
            ValueError, match=r'^model\.budget_mb=0\.0001 for 2 products: expected at'
        ):
            learned(budget_mb=0.0001)

    def test_exception_product_that_is_not_learned(self):
        model = learned((0,))
        with pytest.raises(ValueError, match=r'^product 1 was given: expected'):
            predicted(model, labels=(0,), told_product=1)

    def test_exception_given_without_samples(self):
        model = learned(route='given')
        with pytest.raises(ValueError, match=r"^model\.route='given' and images"):
            model(prepared(model)['inputs'])

    def test_exception_mode(self):
        model = learned()
        with pytest.raises(ValueError, match=r"^mode='loss': expected one of predict"):
            model(**prepared(model), mode='loss')

    @pytest.mark.parametrize(
        ('setting', 'value', 'message'),
        [
            ('search', 'nearest', r'^model\.search='),
            ('score', 'mean', r'^model\.score='),
            ('route', 'none', r'^model\.route='),
            ('augment', ['blur'], r'^model\.augment='),
            ('per_class', 0, r'^model\.per_class=0'),
            ('candidates', 20, r'^model\.candidates=20: expected at least 30'),
            ('hold_out', 0.9, r'^model\.hold_out=0\.9'),
            ('alarm', {'rate': 1.0}, r'^model\.alarm\.rate=1\.0'),
            ('window', 1.5, r'^model\.window=1\.5'),
            ('pool', 2, r'^pool=2'),
        ],
    )
    def test_exception_settings(self, setting, value, message):
        with pytest.raises(ValueError, match=message):
            memory(**{setting: value})

    def test_exception_subspace_of_all_directions(self):
        with pytest.raises(ValueError, match=r'^model\.pca=None with model\.search='):
            memory(search='subspace', pca=None)


def predicted_at(model, size):
    data = model.data_preprocessor(batch([0], size=size), False)
    return model(**data, mode='predict')
