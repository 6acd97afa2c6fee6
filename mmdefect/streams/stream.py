"""What a step of a stream changes in its config."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmdefect.engine.run_config import (
    count_each_image_once,
    drop_absent_hooks,
    drop_validation,
    make_reproducible,
    save_safely,
)
from mmdefect.registry import TASK_UTILS
from mmdefect.streams.protocol import parse_protocol
from mmdefect.utils.checks import check_choice, check_range
from mmdefect.utils.config import dataset_classes, innermost

# Top-level keys that describe the stream and are gone from a resolved step.
STREAM_KEYS = ('stream', 'method', 'runner_type', 'cfg_options')


class Stream:
    """A continual experiment: classes arrive in steps, and every step is a config.

    ``resolve(cfg, step)`` returns an ordinary OpenMMLab config. It merges, in order,
    the config's ``method`` (steps that start from the one before), ``base`` (step 0) or
    ``increment`` (later steps), ``steps[step]``, what the task needs
    (:meth:`specialise`), and the command line's ``--cfg-options``.

    Args:
        protocol: Step sizes such as ``'3+3'`` or ``'10-1x5'``, or class lists; see
            :func:`mmdefect.streams.protocol.parse_protocol`.
        classes: All classes of the dataset, in its order; by default those of the
            training dataset.
        cfg: The stream's whole config, which then says them.
        class_keys: Parameters of the model whose rows are classes.
        base: Config merged into step 0.
        increment: Config merged into every later step.
        steps: Config merged into single steps, by step number.
        start_from: Work dir of another stream whose step 0 is reused, or a checkpoint
            (a model already in use) that stands for step 0.
        train_on: ``'new'`` shows a step its own classes only; ``'seen'`` shows all
            classes so far, the upper bound that needs the old images.
        init: ``'previous'`` starts a step from the step before; ``'scratch'`` does not.
        joint: Work dir of a finished upper bound; the log then names the gap to it.
    """

    #: Per-class metrics that the step x class matrix holds, the leading one first.
    metrics: tuple[str, ...] = ()
    #: Per-class metrics that it holds, too, where the first test reports them.
    more_metrics: tuple[str, ...] = ()
    #: OpenMMLab packages that the task needs.
    requires: tuple[str, ...] = ('mmengine', 'mmcv')

    def __init__(
        self,
        *,
        protocol: str | Sequence[Sequence[str]],
        classes: Sequence[str] | None = None,
        cfg: Config | None = None,
        class_keys: Sequence[str] | None = None,
        base: Mapping[str, Any] | None = None,
        increment: Mapping[str, Any] | None = None,
        steps: Mapping[int | str, Mapping[str, Any]] | None = None,
        start_from: str | None = None,
        train_on: Literal['new', 'seen'] = 'new',
        init: Literal['previous', 'scratch'] = 'previous',
        joint: str | None = None,
    ) -> None:
        check_choice('stream.train_on', train_on, ('new', 'seen'))
        check_choice('stream.init', init, ('previous', 'scratch'))
        if classes is None and cfg is not None:
            classes = dataset_classes(innermost(cfg.train_dataloader.dataset))
        self.steps = parse_protocol(protocol, classes or [])
        self.class_keys = None if class_keys is None else list(class_keys)
        self.base = dict(base or {})
        self.increment = dict(increment or {})
        self.overrides = {int(k): dict(v) for k, v in (steps or {}).items()}
        for step in self.overrides:
            check_range('stream.steps', step, 0, len(self) - 1)
        self.start_from = start_from
        self.train_on = train_on
        self.init = init
        self.joint = joint

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def classes(self) -> list[str]:
        """All classes of the stream, in the order in which they arrive."""
        return self.seen_classes(len(self) - 1)

    def new_classes(self, step: int) -> list[str]:
        """Classes that ``step`` brings."""
        return list(self.steps[step])

    def old_classes(self, step: int) -> list[str]:
        """Classes of the steps before ``step``."""
        return [name for names in self.steps[:step] for name in names]

    def seen_classes(self, step: int) -> list[str]:
        """Classes up to and including ``step``; a label is an index into this list."""
        return self.old_classes(step) + self.new_classes(step)

    def train_classes(self, step: int) -> list[str]:
        """Classes whose annotations ``step`` may use."""
        new_only = self.train_on == 'new'
        return self.new_classes(step) if new_only else self.seen_classes(step)

    def starts_from_previous(self, step: int) -> bool:
        """Whether ``step`` starts from the weights of the step before."""
        return step > 0 and self.init == 'previous'

    def check_step(self, step: int) -> None:
        """Refuse a step that the stream does not have.

        Raises:
            ValueError: There is no such step.
        """
        check_range('step', step, 0, len(self) - 1)

    def resolve(self, cfg: Config, step: int) -> Config:
        """Return the ordinary config of ``step``; ``cfg`` is left alone.

        Raises:
            ValueError: There is no such step.
        """
        self.check_step(step)
        options = dict(cfg.get('cfg_options') or {})
        resolved = copy.deepcopy(cfg)
        for key in STREAM_KEYS:
            resolved.pop(key, None)
        # Deep copies: MMEngine's merge pops `_delete_` from what it is given.
        if self.starts_from_previous(step):
            resolved.merge_from_dict(copy.deepcopy(dict(cfg.get('method') or {})))
        resolved.merge_from_dict(copy.deepcopy(self.increment if step else self.base))
        resolved.merge_from_dict(copy.deepcopy(self.overrides.get(step, {})))
        self.specialise(resolved, step)
        resolved.merge_from_dict(
            {k: v for k, v in options.items() if k.split('.')[0] not in STREAM_KEYS}
        )
        return resolved

    def specialise(self, cfg: Config, step: int) -> None:
        """Write the classes of ``step`` into model, datasets and evaluators."""
        raise NotImplementedError

    def check_data(self, cfg: Config, step: int, *, train: bool, test: bool) -> int:
        """Look at the data of a step before any step trains.

        Args:
            cfg: Config of the step.
            step: Its number.
            train: Whether its training set is still needed.
            test: Whether to look at its test set and its metrics, too.

        Returns:
            Iterations of the step's training; 0 without ``train``.

        Raises:
            ValueError: The step could not use them.
        """
        # They start Runners, which a resolved config is printed without.
        from mmdefect.streams.look import (
            check_options,
            look_at_bits,
            look_at_test,
            look_at_training,
        )

        check_options(cfg, step)
        iterations = 0
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
            if train:
                loader, iterations = look_at_training(cfg)
                self.check_training_set(loader.dataset, step)
                look_at_bits(cfg, loader)
            if test:
                look_at_test(cfg)
        return iterations

    def check_training_set(self, dataset: Any, step: int) -> None:
        """Refuse a training set that does not show what the step brings.

        A dataset of products refuses a product without images by itself.

        Args:
            dataset: As the step will see it.
            step: Number of the step.

        Raises:
            ValueError: A class of the step is not shown.
        """

    def chain(self, cfg: Config, step: int, checkpoint: str) -> None:
        """Make the resolved config of ``step`` start from ``checkpoint``."""
        raise NotImplementedError

    def remember(
        self, cfg: Config, step: int, folder: Path, before: Path
    ) -> str | None:
        """Keep something of a step that has ended, if this stream keeps anything.

        What is there already is checked and stays. Called on one process.

        Args:
            cfg: Config of the step.
            step: Its number.
            folder: Where to write it.
            before: Where the step before has written.

        Returns:
            What is kept, in a few words; None for nothing, or nothing new.

        Raises:
            FileNotFoundError: Something that was kept is gone.
            ValueError: It has changed, or cannot be chosen.
        """
        return None

    def prepare(self, cfg: Config, step: int, folder: Path) -> None:
        """Make ready what :meth:`recall` names, before ``step`` trains.

        Called on one process.

        Args:
            cfg: Config of the step.
            step: Its number, 1 or more.
            folder: Where :meth:`remember` of the step before has written.
        """

    def recall(self, cfg: Config, step: int, folder: Path) -> None:
        """Let ``step`` train with what the step before has kept, if anything.

        Args:
            cfg: Config of the step, changed in place.
            step: Its number, 1 or more.
            folder: Where :meth:`remember` of the step before writes.
        """


def build_stream(cfg: Config) -> Stream:
    """Build the stream that ``cfg.stream`` describes.

    Raises:
        ValueError: The config has no ``stream``.
    """
    if not cfg.get('stream'):
        raise ValueError(
            f'config {cfg.filename or ""!r} has no stream: expected '
            "stream=dict(type='mmdefect.DetectionStream', protocol='3+3')"
        )
    return TASK_UTILS.build(cfg.stream, default_args={'cfg': cfg})


def resolve_step_config(cfg: Config, step: int, stream: Stream | None = None) -> Config:
    """Return the ordinary config of one step, without paths of a particular run."""
    stream = stream or build_stream(cfg)
    resolved = stream.resolve(cfg, step)
    drop_absent_hooks(resolved)
    make_reproducible(resolved, step=step)
    count_each_image_once(resolved)
    drop_validation(resolved)
    save_safely(
        resolved,
        stream={
            'step': step,
            'classes': stream.seen_classes(step),
            'old_classes': stream.old_classes(step),
        },
    )
    return resolved
