"""Images that the model of a step draws, kept in place of its photographs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

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
from mmdefect.streams.memory import Pair, drafts_of, rank, source_of
from mmdefect.streams.pseudo_labels import detector_alone
from mmdefect.streams.state import StreamState, inside
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.config import innermost
from mmdefect.utils.distributed import alone
from mmdefect.utils.files import in_one_piece

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
    """Draw an image for each that was chosen: its boxes and name, nothing else of it.

    The images of a finished class lie beside the memory until that is written: a
    drawing that was interrupted goes on with the next class. Nothing is asked of other
    processes, which wait.

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
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')), alone():
        model = detector_alone(cfg, state_dict_of(load_weights(path), path))
        for module in model.modules():
            if getattr(module, 'with_cp', False):
                module.with_cp = False  # it computes twice, and moments are noted once
        drawing = _Drawing(
            model=model.to(get_device()),
            look=Compose(innermost(cfg.test_dataloader.dataset).pipeline),
            classes=list(dataset.metainfo['classes']),
            infos={
                source_of(dataset, Path(info['img_path'])): info
                for info in map(dataset.get_data_info, range(len(dataset)))
            },
            seed=seed,
            iterations=iterations,
            drafts=drafts_of(folder),
            made_by=str(state.checkpoint_sha256),
        )
        classes = groupby(chosen, key=lambda pair: pair[0].kept_for)
        return [
            pair for name, pairs in classes for pair in drawing.of(name, list(pairs))
        ]


class _Seen(NamedTuple):
    """An image as the network sees it, its boxes there, and those ignored."""

    sample: Any
    truth: InstanceData
    ignored: Tensor


@dataclass(frozen=True)
class _Drawing:
    """What all classes of a step have in common."""

    model: Any
    look: Any
    classes: list[str]
    infos: Mapping[str, Info]
    seed: int
    iterations: int
    drafts: Path
    made_by: str

    def of(self, name: str, pairs: Sequence[Pair]) -> list[Pair]:
        """Draw the images that are kept for a class."""
        seen = {
            about.source: self._seen(self.infos[about.source]) for about, _ in pairs
        }
        draft = self._draft(self.classes.index(name), seen)
        if not draft.is_file():
            images = self._drawn(name, seen)
            with in_one_piece(draft) as part:
                save_file(images, str(part))
        images = load_file(str(draft))
        return [
            _pair(about, images[about.source], seen[about.source].truth, self.classes)
            for about, _ in pairs
        ]

    def _draft(self, label: int, seen: Mapping[str, _Seen]) -> Path:
        """Where the images of a class lie; another file where anything differs."""
        boxes = {name: one.truth.bboxes.tolist() for name, one in seen.items()}
        about = [self.made_by, self.seed, self.iterations, label, boxes]
        mark = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]
        return self.drafts / f'{mark}.safetensors'

    def _drawn(self, name: str, wanted: Mapping[str, _Seen]) -> dict[str, Tensor]:
        """Images ``(C, H, W)`` by the name of the photograph that gave its boxes."""
        label = self.classes.index(name)
        appearance = Appearance()
        shown = [source for source, info in self.infos.items() if _shows(info, label)]
        for source in sorted(shown, key=lambda one: rank(self.seed, one))[:SEEN]:
            sample, truth, ignored = self._seen(self.infos[source])
            own = truth.labels == label
            others = torch.cat([truth.bboxes[~own], ignored])
            batch = pseudo_collate([sample])
            appearance.see(self.model, batch, truth.bboxes[own], others)
        grey = all(_is_grey(one.sample['inputs']) for one in wanted.values())
        images: dict[str, Tensor] = {}
        for number, (shape, sources) in enumerate(_alike(wanted)):
            drawn = draw_images(
                self.model,
                appearance.moments,
                [wanted[source].truth for source in sources],
                label=label,
                shape=shape,
                channels=1 if grey else 3,
                iterations=self.iterations,
                seed=self.seed + number,
                tell=partial(_tell, name, self.iterations),
            )
            images |= dict(zip(sources, drawn.round().byte().cpu(), strict=True))
        return images

    def _seen(self, info: Info) -> _Seen:
        sample = self.look(dict(info))
        across, down = sample['data_samples'].metainfo.get('scale_factor', (1, 1))
        scale = torch.tensor([across, down, across, down])
        boxes = [box for box in info['instances'] if not box.get('ignore_flag')]
        ignored = [box for box in info['instances'] if box.get('ignore_flag')]
        corners, passed = (
            torch.tensor([box['bbox'] for box in some]).float().view(-1, 4) * scale
            for some in (boxes, ignored)
        )
        labels = torch.tensor([box['bbox_label'] for box in boxes]).long()
        return _Seen(sample, InstanceData(bboxes=corners, labels=labels), passed)


def _shows(info: Info, label: int) -> bool:
    return any(
        box['bbox_label'] == label and not box.get('ignore_flag')
        for box in info['instances']
    )


def _is_grey(image: Tensor) -> bool:
    return bool((image == image[:1]).all())


def _alike(
    wanted: Mapping[str, _Seen],
) -> Iterator[tuple[tuple[int, int], list[str]]]:
    """Shapes, and the names of some images that have it, as many as fit."""
    shapes: dict[tuple[int, int], list[str]] = {}
    for source, one in wanted.items():
        height, width = one.sample['inputs'].shape[-2:]
        shapes.setdefault((height, width), []).append(source)
    for (height, width), sources in shapes.items():
        some = min(AT_ONCE, max(1, PIXELS // (height * width)))
        for start in range(0, len(sources), some):
            yield (height, width), sources[start : start + some]


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
