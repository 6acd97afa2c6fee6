"""New kinds on images that were kept before anybody labelled these kinds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mmdefect.functional.boxes import pairwise_iou
from mmdefect.streams import checkpoints
from mmdefect.streams.state import StreamState, inside
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

# A found box that overlaps a labelled one this much is taken for it.
_SAME = 0.5


def label_new_kinds(
    cfg: Config,
    target: Path,
    *,
    interim: Path,
    score: float,
    step: int,
    memory: Path,
    old_classes: Sequence[str],
    seen_classes: Sequence[str],
) -> None:
    """Have another model of the same step label its new kinds on kept images.

    Args:
        cfg: Config of the step.
        target: File to write; one that is there already is kept, if it is of the same
            model and score.
        interim: Work dir of a stream of the same steps, such as fine-tuning's; its
            model after this step looks at the images.
        score: Least score of a box.
        step: Number of the step.
        memory: Folder of the images.
        old_classes: Classes before the step.
        seen_classes: Classes in label order.

    Raises:
        FileNotFoundError: There is no stream, or its checkpoint is gone.
        ValueError: It has not trained the step, or is of other classes; or the file was
            written with another model or score.
    """
    state = StreamState.load(interim).steps
    if step >= len(state) or state[step].checkpoint is None:
        raise ValueError(
            f'stream.memory.interim={str(interim)!r}: expected a stream that has '
            f'trained step {step}; run it first, or leave interim out'
        )
    about = {'sha256': state[step].checkpoint_sha256, 'score': score}
    if target.is_file():
        found = read_json(target, 'pseudo-labels')
        if {key: found.get(key) for key in about} != about:
            raise ValueError(
                f'{target} is of another model or score than stream.memory.interim='
                f'{str(interim)!r} and interim_score={score}: undo the change or use '
                'another --work-dir'
            )
        return
    path = inside(interim, str(state[step].checkpoint))
    checkpoints.verify(path, str(about['sha256']))
    loaded = load_weights(path)
    checkpoints.check_classes(loaded, list(seen_classes), path, step)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        model = detector_alone(cfg, state_dict_of(loaded, path))
        images = DATASETS.build(
            {
                'type': 'mmdefect.MemoryDataset',
                'folder': str(memory),
                'classes': list(old_classes),
                'seen_classes': list(seen_classes),
                'pipeline': cfg.test_dataloader.dataset.pipeline,
                'test_mode': True,
            }
        )
        boxes = {
            name: list(_new_boxes(model, sample, seen_classes, len(old_classes), score))
            for name, sample in _samples(images)
        }
    write_json(target, {**about, 'boxes': boxes})


def detector_alone(cfg: Config, state: dict[str, Any]) -> Any:
    """The detector of a step without its teacher.

    Args:
        cfg: Config of the step, in whose scope this is called.
        state: Its weights.
    """
    settings = copy.deepcopy(cfg.model)
    for key in ('teacher', 'distill'):
        settings.pop(key, None)
    model = MODELS.build(settings)
    model.load_state_dict(state)
    return model.eval()


def _samples(images: Any) -> Iterator[tuple[str, Any]]:
    for index in range(len(images)):
        yield images.get_data_info(index)['img_id'], images[index]


def _new_boxes(
    model: Any, sample: Any, classes: Sequence[str], old: int, score: float
) -> Iterator[dict[str, Any]]:
    """What a model finds of new classes, where nothing is labelled."""
    with torch.no_grad():
        (result,) = model.test_step(pseudo_collate([sample]))
    found = result.pred_instances
    truths = result.gt_instances.bboxes
    known = getattr(truths, 'tensor', truths)
    sure = (found.labels >= old) & (found.scores >= score)
    for box, label, sureness in zip(
        found.bboxes[sure], found.labels[sure], found.scores[sure], strict=True
    ):
        if (pairwise_iou(box[None], known.to(box)) < _SAME).all():
            yield {
                'bbox': [round(value, 2) for value in box.tolist()],
                'class': classes[int(label)],
                'score': round(float(sureness), 4),
            }
