"""Images that the model of a step draws, kept in place of its photographs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from safetensors.torch import load_file, save_file
from torch import Tensor

from mmdefect.datasets.boxes.memory_file import Remembered
from mmdefect.models.detection.drawing import Appearance, draw_images
from mmdefect.streams import checkpoints
from mmdefect.streams.memory import Pair, rank
from mmdefect.streams.pseudo_labels import detector_alone
from mmdefect.streams.state import StreamState, inside
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.config import innermost

Info = Mapping[str, Any]
# Images of a class whose features are looked at; most images drawn at once, and pixels
# of them together; iterations between two lines of the log.
SEEN, AT_ONCE, PIXELS, EVERY = 200, 10, 4_000_000, 50


def draw(
    cfg: Config,
    step: int,
    folder: Path,
    *,
    dataset: Any,
    chosen: Sequence[Pair],
    seed: int,
    iterations: int,
) -> list[Pair]:
    """Draw an image for each that was chosen: its boxes, and nothing else of it.

    The images of a finished class lie beside the memory until :func:`forget_drafts`: a
    drawing that was interrupted goes on with the next class.

    Args:
        cfg: Config of the step.
        step: Its number.
        folder: Of the memory to come.
        dataset: Training set of the step.
        chosen: Photographs whose boxes are taken, class by class.
        seed: Of the noise, and of the images that are looked at.
        iterations: Of each image.

    Returns:
        What is kept, in the order of ``chosen``: images as PNG, in the size in which
        the network sees them.

    Raises:
        ValueError: The checkpoint has changed, or its backbone has no batch norm.
    """
    work_dir = folder.parents[1]
    state = StreamState.load(work_dir).steps[step]
    path = inside(work_dir, str(state.checkpoint))
    checkpoints.verify(path, str(state.checkpoint_sha256))
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        model = detector_alone(cfg, state_dict_of(load_weights(path), path))
        drawing = _Drawing(
            model=model.to(get_device()),
            look=Compose(innermost(cfg.test_dataloader.dataset).pipeline),
            dataset=dataset,
            seed=seed,
            iterations=iterations,
            drafts=_drafts(folder),
        )
        classes = groupby(chosen, key=lambda pair: pair[0].kept_for)
        return [
            pair for name, pairs in classes for pair in drawing.of(name, list(pairs))
        ]


def forget_drafts(folder: Path) -> None:
    """Remove what an interrupted drawing of a memory would go on with."""
    shutil.rmtree(_drafts(folder), ignore_errors=True)


def _drafts(folder: Path) -> Path:
    return folder.with_name('drawing')


@dataclass(frozen=True)
class _Drawing:
    """What all classes of a step have in common."""

    model: Any
    look: Any
    dataset: Any
    seed: int
    iterations: int
    drafts: Path

    def of(self, name: str, pairs: Sequence[Pair]) -> list[Pair]:
        """Draw the images that are kept for a class."""
        classes = list(self.dataset.metainfo['classes'])
        infos = [self.dataset.get_data_info(k) for k in range(len(self.dataset))]
        by_path = {str(Path(info['img_path'])): info for info in infos}
        truths = {str(path): self._seen(by_path[str(path)]) for _, path in pairs}
        draft = self.drafts / f'{classes.index(name)}.safetensors'
        if draft.is_file():
            images = load_file(str(draft))
        else:
            images = self._drawn(name, truths, infos)
            self.drafts.mkdir(parents=True, exist_ok=True)
            save_file(images, str(draft))
        return [
            _pair(about, images[str(path)], truths[str(path)][1], classes)
            for about, path in pairs
        ]

    def _drawn(
        self,
        name: str,
        truths: Mapping[str, tuple[Any, InstanceData]],
        infos: Sequence[Info],
    ) -> dict[str, Tensor]:
        """Images ``(C, H, W)`` by the path of the photograph that gave its boxes."""
        label = self.dataset.metainfo['classes'].index(name)
        appearance = Appearance()
        shown = [info for info in infos if _shows(info, label)]
        for info in sorted(shown, key=lambda one: rank(self.seed, one['img_path'])):
            if appearance.images == SEEN:
                break
            sample, truth = self._seen(info)
            appearance.see(self.model, pseudo_collate([sample]), truth.bboxes)
        grey = all(_is_grey(sample['inputs']) for sample, _ in truths.values())
        images: dict[str, Tensor] = {}
        for number, (shape, paths) in enumerate(_alike(truths)):
            drawn = draw_images(
                self.model,
                appearance.moments,
                [truths[path][1] for path in paths],
                shape=shape,
                channels=1 if grey else 3,
                iterations=self.iterations,
                seed=self.seed + number,
                tell=partial(_tell, name, self.iterations),
            )
            images |= dict(zip(paths, drawn.round().byte().cpu(), strict=True))
        return images

    def _seen(self, info: Info) -> tuple[Any, InstanceData]:
        """An image as the network sees it, and its boxes there."""
        sample = self.look(dict(info))
        across, down = sample['data_samples'].metainfo.get('scale_factor', (1, 1))
        boxes = [box for box in info['instances'] if not box.get('ignore_flag')]
        corners = torch.tensor([box['bbox'] for box in boxes]).float().view(-1, 4)
        return sample, InstanceData(
            bboxes=corners * torch.tensor([across, down, across, down]),
            labels=torch.tensor([box['bbox_label'] for box in boxes]).long(),
        )


def _shows(info: Info, label: int) -> bool:
    return any(
        box['bbox_label'] == label and not box.get('ignore_flag')
        for box in info['instances']
    )


def _is_grey(image: Tensor) -> bool:
    return bool((image == image[:1]).all())


def _alike(
    truths: Mapping[str, tuple[Any, InstanceData]],
) -> Iterator[tuple[tuple[int, int], list[str]]]:
    """Shapes, and the paths of some images that have it, as many as fit."""
    shapes: dict[tuple[int, int], list[str]] = {}
    for path, (sample, _) in truths.items():
        height, width = sample['inputs'].shape[-2:]
        shapes.setdefault((height, width), []).append(path)
    for (height, width), paths in shapes.items():
        some = min(AT_ONCE, max(1, PIXELS // (height * width)))
        for start in range(0, len(paths), some):
            yield (height, width), paths[start : start + some]


def _tell(name: str, iterations: int, iteration: int, off: float) -> None:
    done = iteration + 1
    if done % EVERY == 0 or done == iterations:
        print_log(
            f'drawing {name}: {done} of {iterations} iterations, {off:.3f} off',
            'current',
        )


def _pair(
    about: Remembered, image: Tensor, truth: InstanceData, classes: Sequence[str]
) -> Pair:
    """A drawn image, in the words of a memory."""
    png = bytes(cv2.imencode('.png', image.permute(1, 2, 0).numpy())[1])
    height, width = image.shape[1:]
    found = zip(truth.bboxes.tolist(), truth.labels.tolist(), strict=True)
    return (
        Remembered(
            kept_for=about.kept_for,
            step=about.step,
            source=f'drawn/{Path(about.source).stem}',
            width=width,
            height=height,
            boxes=[
                {
                    'bbox': [round(value, 2) for value in box],
                    'class': classes[label],
                    'ignore': 0,
                }
                for box, label in found
            ],
            bytes=len(png),
        ),
        png,
    )
