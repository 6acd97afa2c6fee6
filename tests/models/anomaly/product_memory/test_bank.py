"""The memory of one product."""

from __future__ import annotations

import pytest
import torch

from mmdefect.models.anomaly.product_memory.bank import ProductBank

GRID = 3


def bank(**changes):
    """Six vectors on a line, remembered from a grid of 3 x 3; plain directions."""
    made = ProductBank()
    made.fill(
        {
            'mean': torch.tensor([1.0, 0.0]),
            'basis': torch.eye(2),
            'scale': torch.tensor([1.0, 2.0]),
            'vectors': torch.tensor(
                [[0.0, 0], [10, 0], [4, 0], [7, 0], [2, 0], [9, 0]]
            ),
            'places': torch.tensor([0, 8, 4, 2, 6, 1]),
            'sizes': torch.tensor([2, 4, 6]),
            'held': torch.tensor([[4.0, 3, 2, 1], [2, 2, 1, 1], [1, 1, 0.5, 0.5]]),
            'embedding': torch.tensor([1.0, 0.0]),
            'reach': torch.tensor([0.1]),
            'facts': torch.tensor([20, 0, -1]),
            **changes,
        }
    )
    return made


def at(*values):
    """Patches whose coordinates are these, of one image."""
    points = torch.zeros(1, len(values), 2)
    points[0, :, 0] = torch.tensor(values) + 1
    return points


def test_smoke_empty():
    empty = ProductBank()
    assert not empty.is_filled
    assert empty.nbytes == 0
    assert bank().is_filled


def test_feature_distances_by_hand():
    assert bank().distances(at(0.5, 5.0, 12.0), 'bank').tolist() == [[0.5, 1.0, 2.0]]
    off = torch.tensor([[[4.0, 3.0]]])  # (3, 6) in whitened directions
    assert bank().distances(off, 'gaussian').tolist() == [[pytest.approx(45**0.5)]]
    flat = bank(basis=torch.tensor([[1.0], [0.0]]), scale=torch.tensor([1.0]))
    assert flat.distances(off, 'subspace').tolist() == [[3.0]]


def test_feature_distances_of_prefixes():
    found = bank().distances(at(4.0, 9.0), 'bank', sizes=[2, 4, 6])
    assert found.tolist() == [[[4.0, 1.0]], [[0.0, 1.0]], [[0.0, 0.0]]]


def test_feature_window():
    """A patch in the corner knows the corner and its neighbours alone."""
    made = bank()
    patches = at(*[10.0] * 9).repeat(2, 1, 1)
    # Places 0, 1, 4 lie beside place 0: vectors 0, 9 and 4.
    plain, near = (made.distances(patches, 'bank', window=w) for w in (None, 1))
    assert plain.tolist() == [[0.0] * 9] * 2
    assert near[0, 0] == near[1, 0] == 1.0
    assert near[0, 8] == 0.0
    # Place 3 alone has no vector: it is compared with all.
    assert made.distances(patches, 'bank', window=0)[0, 3] == 0.0


def test_feature_limit():
    made = bank()
    found = made.limit(0.3, 0.5)
    assert found.threshold in made.held[-1].tolist()
    assert found.certified
    folds = bank(facts=torch.tensor([4, 5, -1])).limit(0.3, 0.5)
    assert (folds.threshold, folds.certified) == (found.threshold, False)
    assert bank(held=torch.zeros(3, 0)).limit(0.3, 0.5) is None


@pytest.mark.parametrize(('kept', 'row'), [(6, 2), (4, 1), (2, 0)])
def test_feature_cut_to_a_prefix(kept, row):
    whole, made = bank(), bank()
    made.truncate(whole.bytes_at(row))
    assert made.nbytes == whole.bytes_at(row)
    assert torch.equal(made.vectors, whole.vectors[:kept])
    assert torch.equal(made.places, whole.places[:kept])
    # The scores are those with that prefix; so is the alarm.
    assert torch.equal(made.held, whole.held[: row + 1])
    for name in ('mean', 'basis', 'scale', 'embedding', 'reach', 'facts'):
        assert torch.equal(getattr(made, name), getattr(whole, name))
    made.truncate(whole.nbytes)
    assert len(made.vectors) == kept


def test_feature_weights_of_another_size_load():
    state = {f'b.{k}': v for k, v in bank().state_dict().items()}
    holder = torch.nn.ModuleDict({'b': ProductBank()})
    holder.load_state_dict(state, strict=True)
    for key, value in holder.state_dict().items():
        assert torch.equal(value, state[key])
        assert value.dtype == state[key].dtype


def test_exception_beyond_float16():
    with pytest.raises(ValueError, match=r'^vectors of a product reaches 1e\+06'):
        bank(vectors=torch.tensor([[1e6, 0.0]]))
