"""What is traced computes what the model predicts; nothing is exported here."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
import torch

from mmdefect.apis.torch_backend import TorchBackend
from mmdefect.deploy.postprocess import finish_map
from mmdefect.export.graphs import Exportable, MapGraph, MemoryMaps, exportable
from mmdefect.export.input_specs import input_spec
from mmdefect.export.onnx_file import write_onnx
from mmdefect.models.anomaly.scoring import SCORES, image_scores
from tests.helpers import exported_toys as toys


@torch.no_grad()
def outputs(backend: TorchBackend, image: np.ndarray) -> dict[str, np.ndarray]:
    """Of the network that would be exported, for one image."""
    spec = input_spec(backend.cfg, backend.model, backend.spec.task)
    network = exportable(backend.model, backend.spec.task)
    given = torch.from_numpy(spec.prepare(image).pixels)[None]
    found = network.module.eval()(given)
    return {
        name: values[0].numpy()
        for name, values in zip(network.outputs, found, strict=True)
    }


@pytest.mark.parametrize('name', ['coreset', 'iuf', 'uniad'])
def test_feature_maps(name: str, tmp_path: Path) -> None:
    cfg, path = toys.anomaly(tmp_path, name)
    backend = TorchBackend(cfg, weights=path, device='cpu')
    (image,) = toys.pictures(1, (150, 90))
    (expected,) = backend([image])
    found = outputs(backend, image)
    assert found['maps'].shape == (128, 128)
    assert found['scores'] == pytest.approx(expected.score, rel=1e-5)
    scale = expected.anomaly_map.max()
    enlarged = finish_map(found['maps'], (150, 90))
    np.testing.assert_allclose(
        enlarged / scale, expected.anomaly_map / scale, atol=1e-5
    )
    assert enlarged.std() > 0.001 * scale


def test_feature_labels_at_a_temperature(tmp_path: Path) -> None:
    cfg, path = toys.classifier(tmp_path)
    saved = torch.load(path)
    saved['state_dict']['head.temperature'] = torch.tensor(2.5)
    torch.save(saved, path)
    backend = TorchBackend(cfg, weights=path, device='cpu')
    (image,) = toys.pictures(1, (70, 50))
    (expected,) = backend([image])
    found = outputs(backend, image)['probabilities']
    np.testing.assert_allclose(found, expected.probabilities, atol=1e-6)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize('score', SCORES)
@pytest.mark.parametrize('size', [(40, 30), (9, 20)])
def test_feature_scores_as_the_model_has_them(
    score: str, size: tuple[int, int]
) -> None:
    small = torch.rand(3, 1, 5, 5)
    graph = MapGraph(torch.nn.Identity(), score=score)
    graph.small.forward = lambda images: small
    maps, scores = graph(torch.zeros(3, 3, *size))
    assert maps.shape == (3, *size)
    torch.testing.assert_close(scores, image_scores(maps[:, None], score))


def test_exception_an_empty_memory() -> None:
    model = torch.nn.Module()
    model.filled = torch.zeros(3, dtype=torch.long)
    with pytest.raises(ValueError, match=r'^memory without patches: expected'):
        MemoryMaps(model)


class Untraceable(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        raise NotImplementedError('this layer')


def test_exception_a_network_that_cannot_be_traced(tmp_path: Path) -> None:
    network = Exportable(module=Untraceable(), outputs=('x',))
    path = tmp_path / 'x.onnx'
    with pytest.raises(ValueError, match=r'^torch cannot export this model') as raised:
        write_onnx(network, torch.ones(2, 3, 4, 4), path, any_size=False)
    assert '\n' not in str(raised.value)
    assert not path.exists()


@pytest.mark.parametrize('wrapped', [False, True])
def test_exception_full_disk(
    wrapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not the model's fault, wherever the exporter has met it."""

    def full(*_: object, **__: object) -> None:
        try:
            raise OSError(errno.ENOSPC, 'No space left on device')
        except OSError as error:
            if wrapped:
                raise RuntimeError('failed') from error
            raise

    monkeypatch.setattr(torch.onnx, 'export', full)
    network = Exportable(module=torch.nn.Identity(), outputs=('maps',))
    with pytest.raises(OSError, match='No space left on device'):
        write_onnx(network, torch.ones(2, 3, 4, 4), tmp_path / 'x', any_size=False)
