"""Start a step from the model of the step before, key by key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdefect.functional.class_rows import expand_by_class
from mmdefect.registry import HOOKS
from mmdefect.utils.checkpoint import checkpoint_classes, load_weights, state_dict_of
from mmdefect.utils.modules import class_keys_of, unwrapped


@HOOKS.register_module()
class ChainCheckpointHook(Hook):
    """Copies a checkpoint into the model, and its class rows by class name.

    Every key is accounted for as copied, expanded or newly initialised; anything else
    is an error. (MMEngine's own loader drops a head of another size in silence.) Rows
    of new classes keep the model's fresh initialisation, prior bias included. A resumed
    run is left alone.

    Args:
        checkpoint: File to start from.
        classes: Classes of the model, in label order.
        checkpoint_classes: Classes of the checkpoint, in label order; read off its meta
            by default.
        class_keys: Parameters whose rows are classes; what the model says by default.
        new_keys: Patterns of parameters that the checkpoint may lack.
    """

    # After MMEngine's own loading, before anything counts iterations.
    priority = 'VERY_HIGH'

    def __init__(
        self,
        *,
        checkpoint: str,
        classes: Sequence[str],
        checkpoint_classes: Sequence[str] | None = None,
        class_keys: Sequence[str] | None = None,
        new_keys: Sequence[str] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self.classes = list(classes)
        self.checkpoint_classes = checkpoint_classes
        self.class_keys = class_keys
        self.new_keys = tuple(new_keys)

    def before_train(self, runner: Runner) -> None:
        """Load the checkpoint unless the run was resumed."""
        if runner.iter > 0:
            return
        model: Any = unwrapped(runner)
        loaded = load_weights(self.checkpoint)
        state = state_dict_of(loaded, self.checkpoint)
        old_classes = self._classes_of(loaded)
        if hasattr(model, 'moved'):  # its classes have no rows but parts of their own
            state = model.moved(state, old_classes, self.classes)
        state, report = expand_by_class(
            state,
            model.state_dict(),
            old_classes=old_classes,
            new_classes=self.classes,
            class_keys=self.class_keys or class_keys_of(model),
            new_keys=self.new_keys,
        )
        model.load_state_dict(state, strict=True)
        runner.logger.info(f'Started from {Path(self.checkpoint)}: {report}')

    def _classes_of(self, loaded: dict) -> list[str]:
        classes = self.checkpoint_classes or checkpoint_classes(loaded, self.checkpoint)
        if classes is None:
            raise ValueError(
                f'{self.checkpoint} does not name its classes: expected them in '
                'meta.dataset_meta.classes; name them with '
                'tools/model_converters/expand_classes.py --old-classes'
            )
        return list(classes)
