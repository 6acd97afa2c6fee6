"""What is known about a model besides its weights, its thresholds among it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from mmdefect.utils.checks import check_choice, check_known, check_number, visible

Task = Literal['boxes', 'maps', 'labels']
TASKS: tuple[Task, ...] = ('boxes', 'maps', 'labels')
Decision = Literal['ok', 'defective', 'unknown product', 'undecided']
DECISIONS: tuple[Decision, ...] = get_args(Decision)

#: Boxes below this are shown by nobody; what a detector does without a calibration.
BOX_THRESHOLD = 0.3


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model as its users see it.

    Args:
        task: What it puts out: boxes, anomaly maps or labels.
        classes: Names in the order of its outputs; of anomaly maps the products.
        defective: Labels only: the class that is called by its threshold, None for a
            classifier without one, of which the likeliest class wins.
        thresholds: From which score on, by name: a class (boxes), the defective class
            (labels), a product (maps). A score equal to it counts. In [0, 1] of boxes
            and labels, whose scores are probabilities; finite of maps.
        default_threshold: Of a name without one of its own, or of a map whose product
            is not known; None where nobody has said.
        calibrated: Whether the thresholds were chosen on validation images.
        routes: Maps only: whether the model recognises the product, and can be told it.
        alarms: Maps only: by product, what good images say about false alarms at its
            threshold: ``rate``, ``confidence``, ``number`` of images, ``certified``,
            ``certifiable``, and all that in a line, ``text``. Plain data.
        about: Where all this comes from: config, checkpoint, step, costs. Plain data.
    """

    task: Task
    classes: tuple[str, ...]
    defective: str | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    default_threshold: float | None = None
    calibrated: bool = False
    routes: bool = False
    alarms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice('task', self.task, TASKS)
        check_known(self.thresholds, self.classes, what='thresholds')
        check_known(self.alarms, self.classes, what='alarms')
        for name, value in self.thresholds.items():
            self._check(f'thresholds[{name!r}]', value)
        if self.default_threshold is not None:
            self._check('default_threshold', self.default_threshold)

    @property
    def only_class(self) -> str | None:
        """The class, or the product, of a model that knows one; else None."""
        return self.classes[0] if len(self.classes) == 1 else None

    def threshold_of(self, name: str | None) -> float | None:
        """From which score on a class, or an image of a product, is called a defect."""
        if name is not None and name in self.thresholds:
            return self.thresholds[name]
        return self.default_threshold

    def check_product(self, product: str) -> None:
        """Refuse a product that the model does not know, or of a model without any.

        Raises:
            ValueError: Naming it.
        """
        if self.task != 'maps':
            raise ValueError(
                f"product='{visible(product)}': expected none with a model of "
                f'{self.task}; leave it out'
            )
        check_known([product], self.classes, what='product')

    def evidence_of(self, product: str | None) -> str | None:
        """What good images say about false alarms at the threshold of a product."""
        told = self.alarms.get(product or '')
        return None if told is None else str(told['text'])

    def with_threshold(self, threshold: float | Mapping[str, float]) -> ModelSpec:
        """The same model, decided on at other thresholds: one for all, or by name.

        Whoever moves them takes the place of the validation images: the model counts
        as not calibrated from then on.

        Raises:
            ValueError: A name is none of its classes, or a number is none that a score
                can reach.
        """
        if isinstance(threshold, Mapping):
            check_known(threshold, self.classes, what='threshold')
            for name, value in threshold.items():
                self._check(f'threshold[{name!r}]', value)
            moved = {**self.thresholds, **threshold}
            kept = {n: told for n, told in self.alarms.items() if n not in threshold}
            return replace(self, thresholds=moved, alarms=kept, calibrated=False)
        self._check('threshold', threshold)
        given = float(threshold)
        return replace(
            self, thresholds={}, alarms={}, default_threshold=given, calibrated=False
        )

    def _check(self, name: str, value: Any) -> None:
        """A threshold that no score reaches would call everything ok."""
        if self.task == 'maps':
            check_number(name, value)
        else:
            check_number(name, value, 0, 1)
