"""The last stage: what every network costs and says, and which one to take."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from mmdefect.pruning.channels.cost import measure_cost, parameter_count
from mmdefect.pruning.sweep.candidates import (
    CLASSIFIER,
    PARENT,
    PROBE,
    RESULT,
    TEST,
    Candidate,
)
from mmdefect.pruning.sweep.decide import choose
from mmdefect.pruning.sweep.dense import build_parent, split_images
from mmdefect.pruning.sweep.features import ImageSet, predict
from mmdefect.pruning.sweep.outcome import Outcome, quality, read_outcome, write_outcome
from mmdefect.pruning.sweep.run import PruneRun
from mmdefect.pruning.sweep.workdir import digest_of
from mmdefect.utils.files import is_stale


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """All networks of a run.

    Attributes:
        outcomes: The whole network first.
        chosen: Index of the one to take.
        parent: The whole network as ``load_from`` has it, with the head that it was
            trained with; ``None`` without ``load_from``. Nothing is chosen by it.
    """

    outcomes: list[Outcome]
    chosen: int
    parent: Outcome | None = None


def measure(run: PruneRun) -> Sweep:
    """Measure all networks, ``result.json`` of each, and choose one.

    Raises:
        FileNotFoundError: A network is not trained.
    """
    for candidate in run.candidates:
        if not candidate.has(CLASSIFIER):
            raise FileNotFoundError(
                f'{candidate.path(CLASSIFIER)}: expected what stage train writes; run '
                '--stage train first'
            )
    tested_on = digest_of(
        [run.cfg.val_dataloader, run.cfg.test_dataloader, run.cfg.get('test_roots')]
    )
    trained = []
    if run.cfg.get('load_from'):
        trained = [Candidate(name=PARENT, size=None, folder=run.work_dir / PARENT)]
    networks = [*run.candidates, *trained]
    todo = [  # all but those with a result of these weights on these very sets
        one
        for one in networks
        if is_stale(one.path(RESULT), one.path(CLASSIFIER))
        or read_outcome(one).tested_on != tested_on
    ]
    sets = sets_to_test(run.cfg) if todo else {}
    for candidate in todo:
        outcome = _measure(run, candidate, sets, tested_on)
        write_outcome(outcome, candidate)
        run.done(
            f'{candidate.name}: {outcome.cost.parameters:,} parameters, '
            f'{outcome.cost.latency_ms_p50:.1f} ms, balanced accuracy '
            f'{100 * outcome.val.balanced_accuracy:.2f} % (val)'
        )
    outcomes = [read_outcome(candidate) for candidate in run.candidates]
    return Sweep(
        outcomes=outcomes,
        chosen=choose(outcomes, run.settings.decide),
        parent=read_outcome(trained[0]) if trained else None,
    )


def sets_to_test(cfg: Config) -> dict[str, ImageSet]:
    """Read the images of ``test_dataloader`` (called ``test``) and of ``test_roots``.

    ``test_roots``, if the config has it, names more sets in the same layout:
    ``dict(crackforest='data/crack_patches/crackforest')``.
    """
    sets = {TEST: split_images(cfg, 'test')}
    for name, root in (cfg.get('test_roots') or {}).items():
        other = copy.deepcopy(cfg)
        other.test_dataloader.dataset.data_root = root
        sets[name] = split_images(other, 'test')
    return sets


def _measure(
    run: PruneRun, candidate: Candidate, sets: dict[str, ImageSet], tested_on: str
) -> Outcome:
    probe: dict[str, Any] = {}
    if candidate.name == PARENT:
        # Anew: scores by gradients have given the run's own another head.
        model = build_parent(run.cfg)
    else:
        model = run.build(candidate, CLASSIFIER)
        probe = json.loads(candidate.path(PROBE).read_text(encoding='utf-8'))
    images = run.images['val']
    height, width = images.images.shape[2:]
    return Outcome(
        name=candidate.name,
        size=candidate.size,
        backbone_parameters=parameter_count(model.backbone),
        cost=measure_cost(model, (height, width)),
        val=quality(predict(model, images)),
        test={name: quality(predict(model, one)) for name, one in sets.items()},
        probe=probe,
        tested_on=tested_on,
    )
