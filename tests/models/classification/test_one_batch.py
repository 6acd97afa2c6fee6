"""One batch through the two smallest networks of the study: learned and classified."""

from __future__ import annotations

import pytest
import torch
from mmpretrain.structures import DataSample

from tests.helpers.configs import scope
from tests.models.classification.conftest import build


@pytest.mark.parametrize(('name', 'size'), [('luna', 300), ('resnet18', 64)])
def test_feature_one_batch(name, size):
    torch.manual_seed(0)
    with scope('mmpretrain'):
        model = build(name, 'cpu')
    images = torch.randn(2, 3, size, size)
    samples = [DataSample().set_gt_label(label) for label in (0, 1)]
    before = model.head.fc.weight.detach().clone()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()
    (loss,) = model(images, samples, mode='loss').values()
    assert 0 < float(loss) < 10
    loss.backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None]
    assert missing == []
    optimizer.step()
    assert not torch.equal(model.head.fc.weight, before)
    model.eval()
    with torch.no_grad():
        found = model(images, samples, mode='predict')
    for sample in found:
        assert sample.pred_score.shape == (2,)
        assert float(sample.pred_score.sum()) == pytest.approx(1)
        assert int(sample.pred_label) in (0, 1)
