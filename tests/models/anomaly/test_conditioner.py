"""What tells the reconstruction which product it sees."""

from __future__ import annotations

import pytest
import torch

from mmdefect.functional.class_rows import CONDITIONER_CLASS_KEYS
from mmdefect.models.anomaly.conditioner import (
    ConditionerBlock,
    ObjectConditioner,
)
from tests.models.anomaly.conftest import tiny_iuf


def conditioner(source='features', **changes):
    torch.manual_seed(0)
    settings = {
        'num_classes': 3,
        'in_channels': 3 if source == 'image' else 5,
        'width': 8,
        'depth': 2,
        'heads': 2,
        'grid': 4,
    }
    return ObjectConditioner(source=source, **{**settings, **changes})


def source_of(source):
    """An image of 8 x 8, or features of 4 x 4."""
    shape = (2, 3, 8, 8) if source == 'image' else (2, 5, 4, 4)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


both = pytest.mark.parametrize('source', ['features', 'image'])


@both
def test_feature_what_it_hands_out_has_no_gradient(source):
    said = conditioner(source)(source_of(source))
    assert [maps.shape for maps in said.maps] == [(2, 16, 8)] * 2
    assert said.logits.shape == (2, 3)
    assert not any(maps.requires_grad for maps in said.maps)
    assert said.logits.requires_grad


@both
@pytest.mark.parametrize('change', [{'fused': False}, {'recompute': True}])
def test_feature_equal_to_plain(source, change):
    """Outputs and gradients, with the same batch norm."""
    plain, other = conditioner(source), conditioner(source, **change)
    made = []
    for model in (plain, other):
        said = model(source_of(source))
        (said.logits.square().sum()).backward()
        gradients = [p.grad for p in model.parameters()]
        running = model.stem[1].running_mean
        made.append([*said.maps, said.logits, *gradients, running])
    assert all(tensor is not None for tensor in made[0])
    for ours, theirs in zip(*made, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_feature_recompute_keeps_less():
    kept = {}
    for recompute in (False, True):
        sizes = []
        model = conditioner('image', recompute=recompute)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: (sizes.append(t.numel()), t)[1], lambda t: t
        ):
            model(source_of('image'))
        kept[recompute] = sum(sizes)
    assert kept[True] < kept[False] / 2


def test_feature_rows_are_sequences_of_their_own():
    """source='image' attends along rows, 'features' over all of the grid."""
    for rows in (True, False):
        torch.manual_seed(0)
        block = ConditionerBlock(width=8, heads=2, rows=rows, fused=True)
        x = torch.randn(1, 4, 4, 8)
        changed = x.clone()
        changed[0, 2, 3, :4] += 1  # a norm takes no notice of a change of all
        differs = (block(x) - block(changed)).abs().amax(dim=(0, 3)) > 1e-6
        assert differs[2].all()
        assert differs[[0, 1, 3]].any() == (not rows)


def test_feature_block_by_hand():
    torch.manual_seed(0)
    block = ConditionerBlock(width=8, heads=2, rows=True, fused=True)
    x = torch.randn(2, 3, 5, 8)
    normed = block.norm_attention(x)
    q, k, v = (
        layer(normed).unflatten(-1, (2, 4)).transpose(2, 3)
        for layer in (block.query, block.key, block.value)
    )
    mixed = (q @ k.mT / 2).softmax(-1) @ v
    half = x + block.out(mixed.transpose(2, 3).flatten(3))
    expected = half + block.mlp(block.norm_mlp(half))
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)
    assert [layer.weight.shape for layer in block.mlp[::2]] == [(4, 8), (8, 4)]


def test_feature_maps_are_means_of_the_last_blocks():
    model = conditioner('image').eval()
    outputs = []
    for block in model.blocks:
        block.register_forward_hook(lambda m, a, out: outputs.append(out))
    said = model(source_of('image'))
    for maps, out in zip(said.maps, outputs, strict=True):
        # 8 x 8 onto 4 x 4: token (row 1, column 2) is the mean of 2 x 2.
        expected = out[:, 2:4, 4:6].mean(dim=(1, 2))
        torch.testing.assert_close(maps[:, 6], expected)
    pooled = outputs[-1].mean(dim=(1, 2))
    expected = model.classifier(model.neck(pooled).relu())
    torch.testing.assert_close(said.logits, expected)


def test_exception_heads_and_source():
    with pytest.raises(ValueError, match=r'^width=8: expected a multiple of heads=3'):
        conditioner(heads=3)
    with pytest.raises(ValueError, match=r"conditioner\.source='pixels'"):
        conditioner('pixels')


def test_feature_class_keys_are_all_that_grows():
    small, large = tiny_iuf(2).state_dict(), tiny_iuf(3).state_dict()
    grown = [name for name in small if small[name].shape != large[name].shape]
    assert tuple(grown) == CONDITIONER_CLASS_KEYS
