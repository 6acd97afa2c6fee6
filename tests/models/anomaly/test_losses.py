"""Semantic compression."""

from __future__ import annotations

import pytest
import torch

from mmdefect.models.anomaly.losses import SemanticCompressionLoss
from tests.models.anomaly.conftest import build, prepared, tiny_iuf

SETTINGS = {'weight': 2.0, 'selector': 'index', 'index': 1}


def hidden(number=6, layers=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(number, 4, 5, generator=generator) for _ in range(layers)]


def by_hand(rows, weight=2.0, index=1):
    tails = [torch.linalg.svdvals(r.double())[index:].sum() for r in rows]
    return weight * sum(tails) / len(tails)


def test_smoke_from_a_config():
    loss = build({'type': 'mmdefect.SemanticCompressionLoss'}, None)
    assert loss.weight == 10
    assert loss(hidden()).shape == ()


@pytest.mark.parametrize(('index', 'spared'), [(1, 1), (None, 2)])
def test_feature_first_batch(index, spared):
    """Half of the width is spared by default."""
    outputs = hidden()
    found = SemanticCompressionLoss(**{**SETTINGS, 'index': index})(outputs)
    assert found.dtype == torch.float32
    expected = by_hand([h.mean(1) for h in outputs], index=spared)
    assert float(found) == pytest.approx(float(expected))


def test_feature_released_share_is_that_of_its_width():
    """0.1 / 256 finds nothing among five values, a tenth of their mean share does."""
    weak = [torch.cat([h[..., :1] / 100, h[..., 1:]], dim=-1) for h in hidden()]
    shares = [(v := torch.linalg.svdvals(h.mean(1).double())) / v.sum() for h in weak]
    assert min(float(s.min()) for s in shares) > 0.1 / 256
    assert float(SemanticCompressionLoss()(weak)) == 0
    expected = 3 * sum(s[s < 0.1 / 5].sum() for s in shares) / 2
    assert float(expected) > 0
    for threshold in ({'share': 0.1 / 5}, {'relative': 0.1}):
        found = SemanticCompressionLoss(weight=3.0, **threshold)(weak)
        assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_exception_relative():
    with pytest.raises(ValueError, match=r'compression\.relative=0: expected more'):
        SemanticCompressionLoss(relative=0)


def test_exception_index_beyond_the_width():
    with pytest.raises(ValueError, match=r'compression\.index=5: expected less than 5'):
        SemanticCompressionLoss(selector='index', index=5)(hidden())


def test_feature_rows_are_remembered():
    """The last ones, of training batches; no part of a checkpoint."""
    loss = SemanticCompressionLoss(**SETTINGS, memory=8)
    first, second, third = (hidden(seed=k) for k in range(3))
    loss(first)
    loss.eval()
    loss(third)
    loss.train()
    found = loss(second)
    means = [
        torch.cat([a.mean(1), b.mean(1)]) for a, b in zip(first, second, strict=True)
    ]
    assert float(found) == pytest.approx(float(by_hand(means)), rel=1e-5)
    assert loss.rows.shape == (2, 8, 5)
    torch.testing.assert_close(loss.rows[0], means[0][-8:])
    assert not loss.state_dict()
    assert not list(loss.buffers())  # which processes would average
    loss.forget()
    assert float(loss(first)) == pytest.approx(
        float(by_hand([h.mean(1) for h in first])), rel=1e-5
    )


def test_feature_only_the_batch_is_live():
    loss = SemanticCompressionLoss(**SETTINGS)
    first = [h.requires_grad_() for h in hidden()]
    loss(first)
    second = [h.requires_grad_() for h in hidden(seed=1)]
    loss(second).backward()
    assert first[0].grad is None
    assert second[0].grad.abs().sum() > 0


@pytest.mark.parametrize('released', [False, True])
def test_feature_what_it_trains(released):
    """The decoder in the corrected form, nothing in the released one."""
    compression = {
        'type': 'mmdefect.SemanticCompressionLoss',
        'released': released,
        **SETTINGS,
    }
    model = tiny_iuf(compression=compression).train()
    loss = model(**prepared(model), mode='loss')['loss_scl']
    assert float(loss) > 0
    assert loss.requires_grad is not released
    if not released:
        loss.backward()
        decoder = model.reconstructor.decoder
        first = [p.grad for p in decoder[0].parameters()]
        assert all(grad is not None and grad.abs().sum() > 0 for grad in first)
        # The last layer's output is not looked at.
        assert all(p.grad is None for p in decoder[1].parameters())


def test_exception_selector():
    with pytest.raises(ValueError, match=r"compression\.selector='tail'"):
        SemanticCompressionLoss(selector='tail')
