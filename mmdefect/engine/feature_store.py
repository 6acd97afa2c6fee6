"""Features of a frozen backbone, computed once and kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv import transforms as mmcv
from torch import Tensor

from mmdefect.datasets.transforms import anomaly
from mmdefect.utils.files import file_sha256

# Transforms, and kinds of them, that give the same result every time.
DETERMINISTIC = (
    mmcv.LoadImageFromFile,
    mmcv.Resize,
    mmcv.CenterCrop,
    mmcv.Pad,
    mmcv.Normalize,
    anomaly.LoadAnomalyImage,
    anomaly.LoadAnomalyMask,
    anomaly.PackAnomalyInputs,
)


def check_deterministic(transforms: Iterable[Any]) -> None:
    """Refuse a pipeline whose result may differ from one time to the next.

    Raises:
        ValueError: Naming the first one that is random, or not known not to be.
    """
    for transform in transforms:
        known = isinstance(transform, DETERMINISTIC)
        if getattr(transform, 'is_random', not known):
            raise ValueError(
                f'the feature cache is on and {type(transform).__name__} may change an '
                'image at random: expected transforms that say is_random=False; switch '
                'it off, or remove FeatureCacheHook from the hooks'
            )


class FeatureStore:
    """Features by the content of their image file, as float16.

    Args:
        key: What else they depend on: transforms and weights, as text.
        folder: Keeps them on disk below it, for later runs; ``None`` only in memory.
        max_gb: Memory for features, and for masks and images that are kept beside them.
            Features beyond it stay on disk, if there is a folder, and are read again
            each time.
    """

    def __init__(
        self, *, key: str, folder: str | Path | None = None, max_gb: float = 2.0
    ) -> None:
        name = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.folder = None if folder is None else Path(folder) / name
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Not by way of a draft: all ranks write the same, and would share its name.
            (self.folder / 'key.txt').write_text(key, encoding='utf-8')
        self.max_bytes = int(max_gb * 2**30)
        self.computed = 0
        self._kept: dict[str, Tensor] = {}
        self._on_disk_only: set[str] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept) + len(self._on_disk_only)

    def get(self, digest: str) -> Tensor | None:
        """Features of a file, from memory or disk, shape ``(C, h, w)``, float16."""
        if digest in self._kept or self.folder is None:
            return self._kept.get(digest)
        found = _load(self.folder / f'{digest}.npy')
        if found is not None:
            self._keep(digest, found)
        return found

    def put(self, digest: str, features: Tensor) -> None:
        """Keep features of a file.

        Raises:
            MemoryError: They no longer fit into ``max_gb``, and there is no folder.
            ValueError: They are not finite as float16.
        """
        half = features.detach().half().cpu().contiguous()
        if not bool(half.isfinite().all()):
            raise ValueError(
                f'features reach {float(features.abs().max()):g}: expected finite ones '
                'up to 65504, which float16 can hold; check the backbone and its '
                'weights, or remove FeatureCacheHook from the hooks'
            )
        self._keep(digest, half)
        self.computed += 1
        if self.folder is not None:
            # A name of its own: another process may write the same features.
            draft = self.folder / f'{digest}.{os.getpid()}.npy'
            np.save(draft, half.numpy())
            draft.replace(self.folder / f'{digest}.npy')

    def _keep(self, digest: str, features: Tensor) -> None:
        if digest in self._kept or digest in self._on_disk_only:
            return
        if self.folder and self._bytes + features.nbytes > self.max_bytes:
            self._on_disk_only.add(digest)
            return
        self.reserve(features)
        self._kept[digest] = features

    def reserve(self, tensor: Tensor) -> None:
        """Count a tensor that is kept in memory; features on disk make room for it.

        Raises:
            MemoryError: It no longer fits into ``max_gb``.
        """
        while (
            self.folder and self._kept and self._bytes + tensor.nbytes > self.max_bytes
        ):
            digest, gone = self._kept.popitem()
            self._on_disk_only.add(digest)
            self._bytes -= gone.nbytes
        self._bytes += tensor.nbytes
        if self._bytes > self.max_bytes:
            raise MemoryError(
                f'max_gb={self.max_bytes / 2**30:g}: expected more, the feature cache '
                f'is full after {len(self)} images; raise it, or remove '
                'FeatureCacheHook from the hooks'
            )


def _load(path: Path) -> Tensor | None:
    """Read an entry; ``None`` if there is none, or one that is damaged."""
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    # A damaged one is computed anew, and written over.
    except (FileNotFoundError, EOFError, ValueError):
        return None


class CachedItems:
    """Packed items with features for the image; stands in for a dataset's pipeline.

    Args:
        items: Packed items by image path, ``inputs`` an image where it is kept.
        digests: Digest of each image's file, by path.
        store: Where their features are.
    """

    def __init__(
        self,
        items: dict[str, dict[str, Any]],
        digests: dict[str, str],
        store: FeatureStore,
    ) -> None:
        self.items = items
        self.digests = digests
        self.store = store

    def __call__(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return the item of a data info."""
        path = info['img_path']
        item = self.items[path]
        inputs = {'features': self.store.get(self.digests[path])}
        if 'inputs' in item:
            inputs['image'] = item['inputs']
        # The model writes its prediction into the sample.
        return {'inputs': inputs, 'data_samples': item['data_samples'].clone()}


def fill(
    dataset: Any,
    store: FeatureStore,
    extract: Callable[[Sequence[Tensor]], Tensor],
    *,
    with_image: bool,
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> CachedItems:
    """Run a dataset's pipeline once and compute the features that are missing.

    Args:
        dataset: With ``pipeline`` and ``get_data_info``.
        store: Where features are and go.
        extract: Features ``(B, C, h, w)`` of images ``(3, H, W)``, uint8.
        with_image: Keep the images, too.
        batch_size: Images that are computed together.
        progress: Called with the number of images done and of all.
    """
    check_deterministic(dataset.pipeline.transforms)
    items: dict[str, dict[str, Any]] = {}
    digests: dict[str, str] = {}
    waiting: list[tuple[str, Tensor]] = []

    def compute() -> None:
        features = extract([image for _, image in waiting])
        for (digest, _), found in zip(waiting, features, strict=True):
            store.put(digest, found)
        waiting.clear()

    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path = info['img_path']
        if path in items:
            continue
        item = dataset.pipeline(info)
        # How the file is read belongs to its content.
        how = [info.get('bits'), info.get('exif')]
        changed = [str(word) for word in how if word not in (None, 'stored')]
        digests[path] = '_'.join([file_sha256(path), *changed])
        if store.get(digests[path]) is None:
            waiting.append((digests[path], item['inputs']))
        if len(waiting) == batch_size:
            compute()
        if with_image:
            store.reserve(item['inputs'])
        if (mask := getattr(item['data_samples'], 'gt_mask', None)) is not None:
            store.reserve(mask)
        items[path] = item if with_image else {'data_samples': item['data_samples']}
        if progress is not None:
            progress(index + 1, len(dataset))
    if waiting:
        compute()
    return CachedItems(items, digests, store)
