"""AlexNet of any image size."""

from __future__ import annotations

import pytest
import torch
from torchvision.models import alexnet

from mmdefect.models.classification.alexnet import AlexNetAdaptive


@pytest.mark.parametrize('size', [(300, 300), (224, 224), (63, 90)])
def test_shape_any_image_size(size):
    with torch.device('meta'):
        backbone = AlexNetAdaptive().eval()
        (features,) = backbone(torch.zeros(2, 3, *size))
    assert features.shape == (2, 4096)
    assert sum(p.numel() for p in backbone.parameters()) == 57_003_840


def test_feature_last_layer_only_is_gone():
    with torch.device('meta'):
        theirs, ours = alexnet(), AlexNetAdaptive(dropout=0.2)
    gone = set(theirs.state_dict()) - set(ours.state_dict())
    assert gone == {'classifier.6.weight', 'classifier.6.bias'}
    assert set(ours.state_dict()) < set(theirs.state_dict())
    assert ours.classifier[0].p == ours.classifier[3].p == 0.2
