"""AlexNet of any image size."""

from __future__ import annotations

import pytest
import torch
from mmengine.registry import MODELS
from torchvision.models import alexnet

from mmdefect.models.classification.alexnet import AlexNetAdaptive


@pytest.fixture(scope='module')
def backbone() -> AlexNetAdaptive:
    return AlexNetAdaptive().eval()


def test_feature_parameters():
    with torch.device('meta'):
        backbone = AlexNetAdaptive()
    assert sum(p.numel() for p in backbone.parameters()) == 57_003_840


@pytest.mark.parametrize('size', [(300, 300), (224, 224), (63, 90)])
def test_shape_any_image_size(backbone, size):
    (features,) = backbone(torch.zeros(2, 3, *size))
    assert features.shape == (2, 4096)


def test_feature_mmpretrain_has_no_such_network():
    """Its own cannot take the casting images; if it can one day, ours may go."""
    with torch.device('meta'):
        model = MODELS.build({'type': 'mmpretrain.AlexNet', 'num_classes': 2})
        with pytest.raises(RuntimeError, match='is invalid for input of size'):
            model(torch.zeros(1, 3, 300, 300))


def test_feature_last_layer_only_is_gone():
    with torch.device('meta'):
        theirs, ours = alexnet(), AlexNetAdaptive(dropout=0.2)
    gone = set(theirs.state_dict()) - set(ours.state_dict())
    assert gone == {'classifier.6.weight', 'classifier.6.bias'}
    assert set(ours.state_dict()) < set(theirs.state_dict())
    assert ours.classifier[0].p == ours.classifier[3].p == 0.2
