"""The transformer, against its layers written out by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from mmdefect.models.anomaly.transformer import (
    DecoderLayer,
    EncoderLayer,
    FeatureReconstructor,
    LearnedPosition,
    initialise,
    neighbour_mask,
)

B, C, GRID, WIDTH = 2, 5, 4, 8
TOKENS = GRID * GRID
SIZES = {'width': WIDTH, 'heads': 2, 'ffn': 12, 'dropout': 0.1}


def reconstructor(**changes):
    torch.manual_seed(0)
    settings = {'in_channels': C, 'grid': GRID, 'depth': 2, **SIZES}
    return FeatureReconstructor(**{**settings, **changes}).eval()


def features(seed=1):
    return torch.randn(B, C, GRID, GRID, generator=torch.Generator().manual_seed(seed))


def tokens(seed, positive=False):
    found = torch.randn(B, TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))
    return found.abs() if positive else found


def attention_by_hand(module, query, key, value, mask=None):
    """Two heads of softmax(QK^T / sqrt(d)) V."""
    weights = module.in_proj_weight.chunk(3)
    biases = module.in_proj_bias.chunk(3)
    heads = [
        F.linear(x, w, b).unflatten(-1, (2, -1)).transpose(1, 2)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    ]
    scores = heads[0] @ heads[1].mT / (WIDTH / 2) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(mask, -torch.inf)
    mixed = (scores.softmax(-1) @ heads[2]).transpose(1, 2).flatten(2)
    return module.out_proj(mixed)


class TestReconstructor:
    def test_feature_tokens_stay_in_their_place(self):
        """Row by row, in and out."""
        model = reconstructor()
        seen = {}
        model.input.register_forward_hook(lambda m, a, o: seen.update(into=a[0]))
        model.output.register_forward_hook(lambda m, a, o: seen.update(out=o))
        given = features()
        made = model(given).features
        for row, column in ((0, 1), (2, 3)):
            token = row * GRID + column
            assert torch.equal(seen['into'][:, token], given[:, :, row, column])
            assert torch.equal(seen['out'][:, token], made[:, :, row, column])

    def test_feature_what_every_decoder_layer_sees(self):
        """The first the memory, the next what was not normalised."""
        model = reconstructor()
        seen, outputs, memory = [], [], []
        for layer in model.decoder:
            layer.register_forward_hook(lambda m, args, out: seen.append(args))
            layer.register_forward_hook(lambda m, args, out: outputs.append(out))
        model.encoder[-1].register_forward_hook(lambda m, a, out: memory.append(out))
        made = model(features())
        assert seen[0][0] is seen[0][1] is seen[1][1] is memory[0]
        assert seen[1][0] is outputs[0]
        assert len(made.hidden) == 1
        torch.testing.assert_close(made.hidden[0], model.norm(outputs[0]))
        torch.testing.assert_close(
            made.features.flatten(2).mT, model.output(model.norm(outputs[1]))
        )

    def test_feature_conditions_change_the_result(self):
        model = reconstructor()
        conditions = [tokens(3), tokens(4)]
        conditioned = model(features(), conditions).features
        assert not torch.allclose(conditioned, model(features()).features)
        ones = [torch.ones(B, TOKENS, WIDTH)] * 2
        torch.testing.assert_close(
            model(features(), ones).features, model(features()).features
        )

    def test_exception_too_few_conditions(self):
        with pytest.raises(ValueError, match='shorter'):
            reconstructor()(features(), [tokens(3)])

    def test_feature_the_mask_is_no_part_of_a_checkpoint(self):
        model = reconstructor(neighbours=3)
        assert model.mask.shape == (TOKENS, TOKENS)
        assert not [name for name in model.state_dict() if 'mask' in name]
        assert reconstructor().mask is None

    @pytest.mark.parametrize('neighbours', [0, 3])
    def test_feature_a_token_does_not_see_its_neighbours(self, neighbours):
        """The first encoder layer; later layers reach everything through others."""
        model = reconstructor(neighbours=neighbours)
        layer, position, x = model.encoder[0], model.position(), tokens(5)
        changed = x.clone()
        near, far = [1, 4, 5], [2, 7, 15]
        changed[:, near] += 1
        before = layer(x, position, None, model.mask)[:, 0]
        after = layer(changed, position, None, model.mask)[:, 0]
        assert torch.allclose(before, after, atol=1e-6) == bool(neighbours)
        changed[:, far] += 1
        after = layer(changed, position, None, model.mask)[:, 0]
        assert not torch.allclose(before, after, atol=1e-4)


class TestLayers:
    @pytest.mark.parametrize('masked', [False, True])
    def test_feature_encoder_by_hand(self, masked):
        """Condition times query before its projection; no position in the values."""
        torch.manual_seed(1)
        layer = EncoderLayer(**SIZES).eval()
        x, condition = tokens(6), tokens(7)
        position = tokens(8)[0]
        mask = neighbour_mask(GRID, 3) if masked else None
        placed = x + position
        mixed = attention_by_hand(layer.attention, placed * condition, placed, x, mask)
        half = layer.norm_attention(x + mixed)
        expected = layer.norm_ffn(half + layer.ffn(half))
        torch.testing.assert_close(
            layer(x, position, condition, mask), expected, atol=1e-5, rtol=1e-5
        )

    def test_feature_decoder_by_hand(self):
        torch.manual_seed(1)
        layer = DecoderLayer(tokens=TOKENS, **SIZES).eval()
        before, memory, position = tokens(9), tokens(10), tokens(11)[0]
        x = layer.queries.expand(B, -1, -1)
        for attention, norm, source in (
            (layer.memory_attention, layer.norm_memory, memory),
            (layer.layer_attention, layer.norm_layer, before),
        ):
            placed = x + position
            x = norm(
                x + attention_by_hand(attention, placed, source + position, source)
            )
        expected = layer.norm_ffn(x + layer.ffn(x))
        torch.testing.assert_close(
            layer(before, memory, position, None), expected, atol=1e-5, rtol=1e-5
        )

    def test_feature_dropout_in_training_only(self):
        layer = EncoderLayer(**SIZES)
        call = (tokens(6), tokens(8)[0], None, None)
        assert not torch.equal(layer(*call), layer(*call))
        layer.eval()
        assert torch.equal(layer(*call), layer(*call))


class TestPosition:
    def test_feature_column_then_row(self):
        position = LearnedPosition(grid=3, width=4)
        with torch.no_grad():
            position.columns.copy_(torch.tensor([[0.0, 1], [2, 3], [4, 5]]))
            position.rows.copy_(torch.tensor([[10.0, 11], [12, 13], [14, 15]]))
        made = position()
        assert made.shape == (9, 4)
        # Token (row 1, column 2), then token (2, 0).
        assert made[5].tolist() == [4, 5, 12, 13]
        assert made[6].tolist() == [0, 1, 14, 15]


class TestNeighbourMask:
    def test_feature_golden(self):
        """A window of 3 on a grid of 4: a corner, an edge and a middle token."""
        mask = neighbour_mask(4, 3)
        assert mask.dtype == torch.bool
        assert mask[0].nonzero().flatten().tolist() == [0, 1, 4, 5]
        assert mask[7].nonzero().flatten().tolist() == [2, 3, 6, 7, 10, 11]
        assert mask[5].nonzero().flatten().tolist() == [0, 1, 2, 4, 5, 6, 8, 9, 10]
        assert torch.equal(mask, mask.T)

    def test_feature_a_window_of_one_hides_the_token_itself(self):
        assert torch.equal(neighbour_mask(3, 1), torch.eye(9, dtype=torch.bool))

    @pytest.mark.parametrize(('grid', 'size'), [(14, 4), (3, 3), (4, 5), (4, -1)])
    def test_exception_even_or_too_large(self, grid, size):
        """On a grid of 3 the middle token has no other than its window of 3."""
        with pytest.raises(ValueError, match=rf'^neighbours={size}: expected an odd'):
            neighbour_mask(grid, size)


def test_feature_initialise():
    model = reconstructor(in_channels=20)
    initialise(model)
    for name, parameter in model.named_parameters():
        if name.endswith('bias'):
            assert not parameter.any(), name
    weight = model.encoder[0].ffn.first.weight
    bound = (6 / (12 + 8)) ** 0.5
    assert 0.8 * bound < weight.abs().max() <= bound
