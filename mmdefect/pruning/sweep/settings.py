"""What a config's ``prune`` says, checked once, so that no stage stumbles over it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mmdefect.functional.decision import HIGH, LOW
from mmdefect.functional.keep_counts import legacy_fractions
from mmdefect.pruning.channels.cost import KINDS
from mmdefect.pruning.scoring.score import SELECT
from mmdefect.pruning.sweep.keep import KeepPolicy
from mmdefect.utils.checks import check_choice, check_range, repeated

RULES = ('ftl_published', 'ftl_fraction', 'one_standard_error', 'weighted')
# FTL's nine powers of ten.
PROBE_GRID = tuple(10.0**power for power in range(-3, 6))


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Sizes that are tried.

    Attributes:
        kind: ``'fraction'``, a share of the channels, or a budget: ``'parameters'``,
            ``'macs'`` or ``'latency_ms'``.
        values: Shares, of the parent's channels or of what the parent costs.
    """

    kind: str
    values: tuple[float, ...]

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Grid:
        """From ``dict(kind='macs', values=[0.1, 0.3])``.

        ``dict(kind='fraction', values='legacy')`` are FTL's 99 shares.

        Raises:
            ValueError: An unknown kind, no values, one twice, or one out of range.
        """
        if set(given) != {'kind', 'values'}:
            raise ValueError(
                f'prune.grid={dict(given)}: expected the entries kind and values'
            )
        kind, values = given['kind'], given['values']
        check_choice('prune.grid.kind', kind, ('fraction', *KINDS))
        if kind == 'fraction' and values == 'legacy':
            return cls(kind=kind, values=tuple(legacy_fractions()))
        values = tuple(values) if isinstance(values, Sequence) else (values,)
        numbers = all(isinstance(value, (int, float)) for value in values)
        if not values or not numbers or not all(0 < value <= 1 for value in values):
            raise ValueError(
                f'prune.grid.values={list(values)}: expected shares of the parent '
                "above 0 and up to 1 (or 'legacy' for the kind 'fraction')"
            )
        names = [candidate_name(kind, value) for value in values]
        if twice := repeated(names):
            raise ValueError(
                f'prune.grid.values={list(values)}: expected different ones, to four '
                f'digits; two are called {twice[0]}'
            )
        return cls(kind=kind, values=values)

    @property
    def candidates(self) -> dict[str, float]:
        """Name of each network -> its size."""
        return {candidate_name(self.kind, value): value for value in self.values}


def candidate_name(kind: str, value: float) -> str:
    """Name a network in work dirs and tables, such as ``fraction-0.20``."""
    digits = f'{value:.4f}'.rstrip('0')
    return f'{kind}-{digits}{"0" * (2 - len(digits.partition(".")[2]))}'


@dataclass(frozen=True, kw_only=True)
class ProbeSettings:
    """Logistic regression on the features.

    Attributes:
        c: Inverse strengths of the L2 penalty that cross-validation chooses from.
        folds: Of the cross-validation.
        standardize: Whether features are brought to mean 0 and deviation 1; FTL takes
            them as they are.
        max_iter: Steps of the solver.
        source: Regular expression that is searched in an image's file name; its first
            group is the photograph that the image is cut of, and folds keep those
            together. Without it every image is one of its own.
    """

    c: tuple[float, ...] = PROBE_GRID
    folds: int = 4
    standardize: bool = True
    max_iter: int = 2000
    source: str | None = None

    def __post_init__(self) -> None:
        if self.source is not None and _groups_in(self.source) < 1:
            raise ValueError(
                f'prune.probe.source={self.source!r}: expected a regular expression '
                r"with a group, such as r'(.+)_\d+_\d+'"
            )
        low = min(self.c, default=0)
        check_range('prune.probe.c', low, 0, open_low=True)
        check_range('prune.probe.folds', self.folds, 2)
        check_range('prune.probe.max_iter', self.max_iter, 1)


def _groups_in(pattern: str) -> int:
    """Count the groups of a regular expression; 0 if it is no such thing."""
    try:
        return re.compile(pattern).groups
    except (re.error, TypeError):  # the command line reads '(a)' as a list
        return 0


@dataclass(frozen=True, kw_only=True)
class RecoverySettings:
    """What is done for a network that has lost filters.

    Attributes:
        bn_images: Training images whose statistics the batch norms take anew; 0 leaves
            them.
        finetune: Whether the whole network is trained by the config's schedule, from
            the probe's head on.
        distill: ``dict(weight=..., temperature=...)`` of the parent's soft labels, or
            ``None``.
    """

    bn_images: int = 0
    finetune: bool = False
    distill: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        check_range('prune.recovery.bn_images', self.bn_images, 0)
        for name in self.distill or ():
            check_choice('prune.recovery.distill', name, ('weight', 'temperature'))
        if self.distill is not None and not self.finetune:
            raise ValueError(
                'prune.recovery.finetune=False: expected True with distill, as the '
                "parent's labels are learned by training"
            )


@dataclass(frozen=True, kw_only=True)
class DecideSettings:
    """How one of the networks is chosen, on the validation images.

    Attributes:
        rule: ``'ftl_published'``, ``'ftl_fraction'``, ``'one_standard_error'`` or
            ``'weighted'``; see :mod:`mmdefect.functional.decision`.
        cost: What ``'one_standard_error'`` wants little of.
        weights: Of ``'weighted'``.
    """

    rule: str = 'one_standard_error'
    cost: str = 'parameters'
    weights: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice('prune.decide.rule', self.rule, RULES)
        check_choice('prune.decide.cost', self.cost, KINDS)
        for name in self.weights:
            check_choice('prune.decide.weights', name, HIGH + LOW)
        if (self.rule == 'weighted') != bool(self.weights):
            raise ValueError(
                f'prune.decide.rule={self.rule!r} and weights={dict(self.weights)}: '
                "expected weights with rule='weighted' only"
            )


@dataclass(frozen=True, kw_only=True)
class PruneSettings:
    """All of ``prune``.

    Attributes:
        scorer: How filters are scored, such as ``dict(type='mmdefect.SegIoU')``.
        grid: Sizes that are tried.
        keep: How many filters of a group stay.
        select: Of which scores the best stay: ``'object'``, ``'background'``,
            ``'union'`` or ``'contrast'``.
        greedy: Whether every layer is scored behind the layers that are cut already, as
            in FTL; for networks without residual connections.
        raw: Whether filters are scored on images of 0 to 255 without normalisation, as
            in FTL's release.
        reset_norms: Whether cut batch norms forget what they learned, as in the
            release.
        protect: Names of layers, or of modules around them, that stay whole.
        untrained: Whether a parent without any trained weights is taken; its filters
            are random.
        probe: Logistic regression on the features.
        recovery: What follows the cut.
        decide: How one network is chosen.
    """

    scorer: Mapping[str, Any]
    grid: Grid
    keep: KeepPolicy = field(default_factory=KeepPolicy)
    select: str = 'object'
    greedy: bool = False
    raw: bool = False
    reset_norms: bool = False
    protect: tuple[str, ...] = ()
    untrained: bool = False
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    recovery: RecoverySettings = field(default_factory=RecoverySettings)
    decide: DecideSettings = field(default_factory=DecideSettings)

    def __post_init__(self) -> None:
        check_choice('prune.select', self.select, SELECT)
        glob, shares = self.keep.type == 'global', self.grid.kind == 'fraction'
        reason = None
        if self.greedy and glob:
            reason = (
                "greedy=True and keep.type='global': expected one of them, a threshold "
                'for all layers needs the scores of all layers first'
            )
        elif self.select == 'union' and self.keep.round_to > 1:
            reason = (
                f"select='union' and keep.round_to={self.keep.round_to}: expected one "
                'of them, united filters are no multiple'
            )
        elif self.select == 'contrast' and glob:
            reason = (
                "select='contrast' and keep.type='global': expected keep.type="
                "'uniform', one threshold cannot cut negative differences"
            )
        elif shares and glob:
            reason = (
                "keep.type='global' and grid.kind='fraction': expected a budget, "
                'parameters, macs or latency_ms'
            )
        elif self.greedy and not shares:
            reason = (
                f"greedy=True and grid.kind={self.grid.kind!r}: expected 'fraction', "
                'a budget is met by scores of all layers at once'
            )
        if reason:
            raise ValueError(f'prune: {reason}')


def prune_settings(given: Mapping[str, Any] | None) -> PruneSettings:
    """Read ``prune`` of a config.

    Raises:
        ValueError: It is missing, incomplete, or has an entry that does not exist.
    """
    if not given:
        raise ValueError(
            'prune: expected settings such as those of configs/ftl/, this config has '
            'none'
        )
    values = _known(PruneSettings, given, 'prune')
    if missing := {'scorer', 'grid'} - set(values):
        raise ValueError(
            f'prune lacks {", ".join(sorted(missing))}: expected a scorer such as '
            "dict(type='mmdefect.SegIoU') and a grid such as dict(kind='macs', "
            'values=[0.5])'
        )
    values['grid'] = Grid.of(values['grid'])
    protect = values.get('protect', ())
    values['protect'] = (protect,) if isinstance(protect, str) else tuple(protect)
    parts: dict[str, Any] = {
        'keep': KeepPolicy,
        'probe': ProbeSettings,
        'recovery': RecoverySettings,
        'decide': DecideSettings,
    }
    for name, kind in parts.items():
        if name in values:
            part = _known(kind, values[name], f'prune.{name}')
            if 'c' in part:
                part['c'] = tuple(part['c'])
            values[name] = kind(**part)
    return PruneSettings(**values)


def _known(kind: Any, given: Mapping[str, Any], place: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f'{place}={given!r}: expected a dict; {{}} is the default')
    for key in given:
        check_choice(place, key, [entry.name for entry in fields(kind)])
    return dict(given)
