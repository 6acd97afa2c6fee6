"""After training: what the probabilities mean, and from which on to call a defect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, zip_longest
from typing import Any

import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdefect.engine.calibrated import (
    CALIBRATED,
    calibrated_checkpoint,
    check_costs,
    chosen_checkpoint,
    last_checkpoint,
    leave_calibrated,
)
from mmdefect.functional.calibration import (
    cost_threshold,
    fit_temperature,
    negative_log_likelihood,
)
from mmdefect.registry import HOOKS
from mmdefect.utils.checkpoint import load_weights, state_dict_of
from mmdefect.utils.modules import evaluating, unwrapped

BUFFERS = ('temperature', 'threshold')
# Of a head that nobody has calibrated.
THRESHOLD = 0.5


@HOOKS.register_module()
class CalibrationHook(Hook):
    """Fits the head's temperature and threshold on the validation images.

    When training is over, the best checkpoint is loaded (the last one without
    ``save_best``; of several bests the first), the validation images are classified,
    and ``calibrated.pth`` is written into the work dir: the same weights with the two
    buffers of :class:`mmdefect.models.classification.head.DefectClsHead` set. The
    runner holds that model from then on, as an averaged model of ``EMAHook``, too.

    The temperature is the likeliest (Guo et al., ICML 2017), the threshold the one that
    costs least at this temperature. Where the validation images cannot tell, what the
    head has by default stays, with a warning: a temperature when every image is
    right or nothing was learned, a threshold when all images are of one class, which
    ``meta['calibration']`` is then without: that is not calibrated. Where the last
    epoch has the lower negative log-likelihood, a warning says so.

    Args:
        costs: What a miss costs and what a false alarm costs.
        temperature: Whether to fit the temperature; 1 otherwise.
        defective: Index of the defective class.

    Raises:
        ValueError: If the costs are not two positive numbers; or, before training, if
            there is no validation loader or the head has no such buffers.
    """

    def __init__(
        self,
        *,
        costs: Sequence[float] = (1.0, 1.0),
        temperature: bool = True,
        defective: int = 0,
    ) -> None:
        self.costs = check_costs(costs)
        self.temperature = temperature
        self.defective = defective

    def before_train(self, runner: Runner) -> None:
        """Refuse what could not be calibrated, before hours were spent."""
        head = getattr(unwrapped(runner), 'head', None)
        held = dict(head.named_buffers()) if isinstance(head, nn.Module) else {}
        if missing := [name for name in BUFFERS if name not in held]:
            raise ValueError(
                f'{type(head).__name__} has no {" and no ".join(missing)} to set: '
                'expected a mmdefect.DefectClsHead; use it, or remove CalibrationHook'
            )
        if runner.val_loop is None:
            raise ValueError(
                'val_dataloader=None: expected one, which CalibrationHook fits on; add '
                'it with val_cfg and val_evaluator, or remove the hook'
            )

    def after_train(self, runner: Runner) -> None:
        """Fit, and write ``calibrated.pth``."""
        source, checkpoint = chosen_checkpoint(
            runner, metainfo=runner.val_dataloader.dataset.metainfo
        )
        model: Any = unwrapped(runner)
        last = self._last(runner, source)
        model.load_state_dict(state_dict_of(checkpoint))
        logits, labels = validation_logits(runner, model)
        found = self.fit(logits, labels, runner.logger)
        set_to = {'threshold': THRESHOLD, **found}
        with torch.no_grad():
            for name in BUFFERS:
                getattr(model.head, name).fill_(set_to[name])
        runner.logger.info(
            f'{CALIBRATED} of {source}: temperature {found["temperature"]:.4g}, '
            f'threshold {set_to["threshold"]:.4g} at costs of {self.costs[0]:g} to '
            f'{self.costs[1]:g}; negative log-likelihood of {len(labels)} validation '
            f'images {found["nll_before"]:.4g}, now {found["nll_after"]:.4g}'
        )
        if last is not None and last[1] < found['nll_after']:
            runner.logger.warning(
                f'{CALIBRATED} of {source} has a negative log-likelihood of '
                f'{found["nll_after"]:.4g} on the validation images, {last[0]} of the '
                f'last epoch one of {last[1]:.4g}: save_best chose by another metric. '
                "To choose by this one, set default_hooks.checkpoint.save_best='defect/"
                "nll' and default_hooks.checkpoint.rule='less'."
            )
        note = {**found, 'costs': list(self.costs), 'images': len(labels)}
        note['checkpoint'] = source
        calibrated = calibrated_checkpoint(checkpoint, model.state_dict(), note)
        leave_calibrated(runner, calibrated)

    def fit(self, logits: Tensor, labels: Tensor, logger: Any) -> dict[str, float]:
        """Fit both numbers on logits ``(N, C)`` and labels ``(N,)``.

        The logger is told what cannot be fitted.

        Returns:
            ``temperature``, ``threshold`` if it could be chosen, and the negative
            log-likelihood ``nll_before`` and ``nll_after``.
        """
        temperature = fit_temperature(logits, labels) if self.temperature else 1.0
        if math.isnan(temperature):
            temperature = 1.0
            logger.warning(
                f'no temperature is best for {len(labels)} validation images (all of '
                'them are right, or nothing was learned): it stays 1'
            )
        # As the head computes them, or a threshold between two neighbours may miss.
        factor = torch.tensor(temperature)
        before, after = logits.softmax(dim=1), (logits / factor).softmax(dim=1)
        defects = labels == self.defective
        threshold = cost_threshold(after[:, self.defective], defects, *self.costs)
        if math.isnan(threshold):
            logger.warning(
                f'the {len(labels)} validation images are all of one kind, defective '
                'or not: the threshold stays 0.5'
            )
        chosen = {} if math.isnan(threshold) else {'threshold': threshold}
        return {
            'temperature': temperature,
            **chosen,
            'nll_before': float(negative_log_likelihood(before, labels)),
            'nll_after': float(negative_log_likelihood(after, labels)),
        }

    def _last(self, runner: Runner, source: str) -> tuple[str, float] | None:
        """Name and validation loss of the last checkpoint; of another than the best."""
        path = last_checkpoint(runner)
        if path is None or path.name == source:
            return None
        model = unwrapped(runner)
        model.load_state_dict(state_dict_of(load_weights(path)))
        logits, labels = validation_logits(runner, model)
        return path.name, float(negative_log_likelihood(logits.softmax(dim=1), labels))


@torch.no_grad()
def validation_logits(runner: Runner, model: Any) -> tuple[Tensor, Tensor]:
    """Classify the images of the runner's validation loader, on all ranks.

    Returns:
        Logits, float32, shape ``(N, C)``, and labels, shape ``(N,)``, in the order of
        the dataset, the same on every rank.
    """
    loader = runner.val_dataloader
    rows: list[tuple[list[float], int]] = []
    with evaluating(model):
        for batch in loader:
            data = model.data_preprocessor(batch, False)
            logits = model(data['inputs'], mode='tensor').float().cpu()
            labels = [int(sample.gt_label) for sample in data['data_samples']]
            rows += zip(logits.tolist(), labels, strict=True)
    # A sampler deals images out in turn, the last round may be short or filled up.
    parts = all_gather_object(rows)
    dealt = [row for row in chain.from_iterable(zip_longest(*parts)) if row]
    found, classes = zip(*dealt[: len(loader.dataset)], strict=True)
    return torch.tensor(found), torch.tensor(classes)
