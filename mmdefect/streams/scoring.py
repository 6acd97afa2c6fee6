"""Scores of a stream's checkpoints: always those of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process

from mmdefect.engine.calibrated import CALIBRATED
from mmdefect.engine.hooks.same_bits import SameBitsHook
from mmdefect.engine.run_config import apply_test_flags, draw_apart
from mmdefect.streams import checkpoints
from mmdefect.streams.launch import build_step_runner, tear_down
from mmdefect.streams.matrix import MATRIX_FILE, StreamMatrix
from mmdefect.streams.stream import Stream
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.modules import make_room, unwrapped


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """Tests checkpoints of a stream and keeps their scores.

    The model that has just been trained is never tested: averaged weights are swapped
    around a checkpoint, and the last one saved may be of an earlier epoch. What is
    tested is what the next step starts from.

    Attributes:
        name: Of the stream.
        work_dir: Of the stream.
        stream: The stream.
    """

    name: str
    work_dir: Path
    stream: Stream

    def score(
        self, cfg: Config, step: int, checkpoint: Path
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Test a checkpoint whose keys must fit the step's model exactly.

        Args:
            cfg: Config of the step.
            step: Its number.
            checkpoint: A file.

        Returns:
            The scores, and what is wrong with the boxes of a detector; without
            thresholds in the checkpoint, those of the calibrated one beside it count.

        Raises:
            ValueError: The checkpoint is of another model or of other classes.
        """
        apply_test_flags(cfg)
        draw_apart(cfg, step)
        recorded = self.work_dir / f'step_{step}' / f'{self.name}.py'
        runner = build_step_runner(cfg, recorded)
        model = unwrapped(runner)
        loaded = load_weights(checkpoint)
        state = state_dict_of(loaded, checkpoint)
        make_room(model, state)
        checkpoints.check_keys(state, model.state_dict(), checkpoint, step)
        checkpoints.check_classes(
            loaded, self.stream.seen_classes(step), checkpoint, step
        )
        model.load_state_dict(state)
        for hook in runner.hooks:
            if isinstance(hook, SameBitsHook):
                hook.after_load_checkpoint(runner, loaded)
        metrics = runner.test_loop.evaluator.metrics
        judges = [metric for metric in metrics if hasattr(metric, 'diagnosis')]
        for metric in judges:
            metric.thresholds = metric.thresholds or _thresholds(loaded, checkpoint)
        scores = runner.test() | _certified(model, self.stream.seen_classes(step))
        diagnosis = judges[0].diagnosis if judges else {}
        tear_down(runner)
        return scores, diagnosis

    def record(
        self, step: int, scores: dict[str, Any], diagnosis: dict[str, Any]
    ) -> None:
        """Write what :meth:`score` returned into ``matrix.json``, on rank 0."""
        if not is_main_process():
            return
        path, stream = self.work_dir / MATRIX_FILE, self.stream
        matrix = (
            StreamMatrix.load(path)
            if path.is_file()
            else StreamMatrix(classes=stream.classes, metrics=_reported(stream, scores))
        )
        matrix.require(stream.metrics)
        matrix.add_step(
            step=step,
            old=stream.old_classes(step),
            new=stream.new_classes(step),
            scalars=scores,
            diagnosis=diagnosis,
        )
        matrix.save(path)


def _thresholds(loaded: Mapping[str, Any], checkpoint: Path) -> dict[str, float]:
    """Scores from which on boxes are called, if they were chosen for these weights."""
    note = loaded.get('meta', {}).get('calibration')
    beside = checkpoint.with_name(CALIBRATED)
    if note is None and beside.is_file():
        note = load_weights(beside).get('meta', {}).get('calibration') or {}
        # Of scores that were scaled, others are the thresholds of those as they are.
        if note.get('checkpoint') != checkpoint.name or 'scale_offset' in note:
            note = None
    if not note or note.get('task') != 'boxes':
        return {}
    return dict(note['thresholds'])


def _certified(model: Any, classes: list[str]) -> dict[str, float]:
    """Rate of false alarms that is certified of each product; NaN of an estimate."""
    if not hasattr(model, 'alarms'):
        return {}
    limits = zip(classes, model.alarms(), strict=True)
    return {
        f'anomaly/certified/{name}': limit.rate if limit and limit.certified else nan
        for name, limit in limits
    }


def _reported(stream: Stream, scores: dict[str, Any]) -> list[str]:
    """Metrics of a stream, with those of its further ones that a test reports."""
    names = {name for key in scores for name in key.split('/')[:-1]}
    more = [metric for metric in stream.more_metrics if metric in names]
    return [*stream.metrics, *more]
