"""What a frozen model said about images that it has already seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from mmdefect.models.detection.distill.context import PARTS, DenseOutputs
from mmdefect.utils.checks import check_choice, check_number

Parts = dict[str, list[Tensor]]
# Bytes of an entry beside the numbers: key, list and tensors.
_EACH = 2_000


class TeacherCache:
    """A frozen model's outputs, kept by the content of the image.

    Where images come back unchanged, or flipped, the model looks at each of them a few
    times instead of once an epoch. It looks at one at a time, as it is padded: what it
    says does not depend on the pixels of others, so a resumed run, whose cache begins
    empty, goes on as if nothing had happened.

    Args:
        max_mb: About how much is kept of all images together, in MB. When it is full,
            further images are looked at each time.
        parts: Of :class:`DenseOutputs`, those that are read; others come back empty.

    Raises:
        ValueError: ``max_mb`` is no number, or below 0, or there is no such part.
    """

    def __init__(self, max_mb: float, *, parts: Iterable[str] = PARTS) -> None:
        check_number('model.teacher_cache_mb', max_mb, 0)
        self.max_bytes = max_mb * 1e6
        self.parts = frozenset(parts)
        for part in sorted(self.parts):
            check_choice('reads', part, PARTS)
        self.bytes = 0
        self._seen: dict[bytes, Parts] = {}

    def __len__(self) -> int:
        """How many images are kept."""
        return len(self._seen)

    def __call__(
        self, model: Callable[[Tensor], DenseOutputs], images: Tensor
    ) -> DenseOutputs:
        """Return what ``model`` says about preprocessed images ``(N, 3, H, W)``."""
        found = [self._one(model, image) for image in images]
        stacked = {
            name: tuple(map(torch.cat, zip(*(one[name] for one in found), strict=True)))
            for name in PARTS
        }
        return DenseOutputs(
            classes=stacked['classes'][0],
            boxes=stacked['boxes'][0],
            features=stacked['features'],
        )

    def _one(self, model: Callable[[Tensor], DenseOutputs], image: Tensor) -> Parts:
        key = _key_of(image)
        if key in self._seen:
            return self._seen[key]
        said = self._read(model(image[None]))
        size = _EACH + sum(one.nbytes for part in said.values() for one in part)
        if self.bytes + size <= self.max_bytes:
            self.bytes += size
            self._seen[key] = said
        return said

    def _read(self, outputs: DenseOutputs) -> Parts:
        every = {
            'classes': [outputs.classes],
            'boxes': [outputs.boxes],
            'features': [*outputs.features],
        }
        return {
            name: [one if name in self.parts else one[:, :0].clone() for one in part]
            for name, part in every.items()
        }


def _key_of(image: Tensor) -> bytes:
    """Of the shape and every value of an image."""
    pixels = image.detach().float().cpu().contiguous().numpy()
    shape = repr(tuple(image.shape)).encode()
    return hashlib.blake2b(shape + pixels.tobytes(), digest_size=16).digest()
