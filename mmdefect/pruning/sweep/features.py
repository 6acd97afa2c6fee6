"""What a network says of images, once for all classifiers that are tried on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdefect.evaluation.predictions import Prediction
from mmdefect.utils.modules import evaluating


@dataclass(frozen=True, kw_only=True)
class ImageSet:
    """Images decoded once: a sweep shows the same ones to a hundred networks.

    Attributes:
        images: uint8, shape ``(N, 3, H, W)``, in the order of the file's reader.
        labels: Classes, shape ``(N,)``.
        paths: File of each image.
    """

    images: Tensor
    labels: Tensor
    paths: tuple[str, ...]

    def inputs(self, model: Any, size: int) -> Iterator[Tensor]:
        """Preprocess them for a classifier, ``size`` images at a time."""
        for start in range(0, len(self.images), size):
            batch = {'inputs': list(self.images[start : start + size])}
            yield model.data_preprocessor(batch, False)['inputs']

    def pick(self, indices: Sequence[int]) -> ImageSet:
        """Take some of the images, in this order."""
        chosen = list(indices)
        return ImageSet(
            images=self.images[chosen],
            labels=self.labels[chosen],
            paths=tuple(self.paths[index] for index in chosen),
        )

    def __len__(self) -> int:
        return len(self.images)


def load_images(loader: Iterable[Mapping[str, Any]]) -> ImageSet:
    """Read all images of a loader into memory; 224 pixels take 150 kB each.

    Raises:
        ValueError: There is no image, one has no label, or sizes differ.
    """
    images: list[Tensor] = []
    labels: list[int] = []
    paths: list[str] = []
    for data in loader:
        for image, sample in zip(data['inputs'], data['data_samples'], strict=True):
            if 'gt_label' not in sample:
                raise ValueError(f'{sample.img_path}: expected a label of a class')
            images.append(image)
            labels.append(int(sample.gt_label))
            paths.append(str(sample.img_path))
    sizes = {tuple(image.shape) for image in images}
    if len(sizes) != 1:
        raise ValueError(
            f'images={len(images)} of the sizes {sorted(sizes)[:3]}: expected one or '
            'more of one size; put a Resize to a fixed size in the pipeline'
        )
    return ImageSet(
        images=torch.stack(images), labels=torch.tensor(labels), paths=tuple(paths)
    )


def extract_features(
    model: Any, images: ImageSet, *, batch_size: int = 32
) -> np.ndarray:
    """Compute the inputs of a classifier's head, shape ``(N, D)``, float32."""
    with evaluating(model), torch.inference_mode():
        parts = [
            model.extract_feat(inputs, stage='neck')[-1].float().cpu().numpy()
            for inputs in images.inputs(model, batch_size)
        ]
    return np.concatenate(parts)


def predict(
    model: Any, images: ImageSet, *, batch_size: int = 32
) -> dict[str, Prediction]:
    """Classify each image, by its file; class 0 is the object's."""
    said: dict[str, Prediction] = {}
    paths, labels = iter(images.paths), iter(images.labels.tolist())
    with evaluating(model), torch.inference_mode():
        for inputs in images.inputs(model, batch_size):
            for sample in model.predict(inputs):
                said[next(paths)] = Prediction(
                    label=next(labels),
                    pred=int(sample.pred_label),
                    score=float(sample.pred_score[0]),
                )
    return said
