"""The four stages of a run, each resumable and usable alone.

``score``: filters are scored, networks planned and cut. ``extract``: their features.
``train``: a linear probe on the features, and the recovery. ``test``: what every
network costs and says, and which one to take.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmdefect.pruning.channels.plan import ChannelPlan, write_plan
from mmdefect.pruning.channels.rebuild import rebuild, reset_norms
from mmdefect.pruning.scoring.score import Scores
from mmdefect.pruning.sweep.candidates import (
    CLASSIFIER,
    FEATURES,
    PLAN,
    PROBE,
    PROBED,
    RESULT,
    WEIGHTS,
    Candidate,
    save_weights,
)
from mmdefect.pruning.sweep.features import extract_features
from mmdefect.pruning.sweep.greedy import GreedyPlanner
from mmdefect.pruning.sweep.keep import plan_of_budget, plan_of_fraction
from mmdefect.pruning.sweep.measure import measure
from mmdefect.pruning.sweep.probe import (
    FittedProbe,
    fit_probe,
    fold_into_head,
    sources_of,
)
from mmdefect.pruning.sweep.recovery import finetune, recalibrate, write_config
from mmdefect.pruning.sweep.run import WHOLE, PruneRun
from mmdefect.utils.files import in_one_piece, write_json

Planner = Callable[[float, dict[str, Any]], ChannelPlan]


def score(run: PruneRun) -> None:
    """Plan and cut all networks: ``plan.json`` and ``weights.pth`` of each."""
    todo = [c for c in run.candidates if not c.has(WEIGHTS)]
    if not todo:
        return
    if run.scorer.needs_gradient:
        _teach_head(run)
    planner: Planner | None = None
    failed: dict[str, ValueError] = {}
    for candidate in todo:
        plan = WHOLE
        if candidate.size is not None:
            planner = planner or _planner(run)
            try:
                plan = planner(candidate.size, _origin(run, candidate))
            except ValueError as error:  # the other sizes may be possible
                failed[candidate.name] = error
                continue
            write_plan(plan, candidate.path(PLAN))
        _cut(run, candidate, plan)
    if failed:
        name, first = next(iter(failed.items()))
        raise ValueError(
            f'{len(failed)} of {len(run.candidates) - 1} sizes are impossible, the '
            f'others are planned; {name}: {first}'
        ) from first


def _cut(run: PruneRun, candidate: Candidate, plan: ChannelPlan) -> None:
    model: Any = rebuild(run.parent, plan)
    if run.settings.reset_norms and not candidate.dense:
        reset_norms(model)
    images = run.settings.recovery.bn_images
    if images and not candidate.dense:
        recalibrate(model, run.images['train'], images, seed=run.seed)
    save_weights(model.state_dict(), candidate.path(WEIGHTS))
    run.done(f'{candidate.name}: cut')


def _teach_head(run: PruneRun) -> None:
    """Gradients of a head that knows nothing would rank filters at random."""
    probe = _fitted(run, extract_features(run.parent, run.images['train']))
    fold_into_head(run.parent.head, probe)
    run.progress(f'head of the whole network: {_said(probe)}')


def _planner(run: PruneRun) -> Planner:
    settings, groups = run.settings, run.groups
    if settings.greedy:
        greedy = GreedyPlanner(
            model=run.parent,
            groups=groups,
            policy=settings.keep,
            score=lambda model, layer: run.score(model, [layer]),
            reset_norms=settings.reset_norms,
        )
        return greedy.plan
    layers = [name for group in groups for name in group.filters]
    if run.scorer.needs_maps:
        run.progress(f'{len(layers)} layers to score')
    scores: list[Scores] = run.score(run.parent, layers)
    run.progress(f'{len(layers)} layers scored')
    if settings.grid.kind == 'fraction':
        return lambda size, origin: plan_of_fraction(
            groups, scores, settings.keep, size, origin
        )
    cost = run.cost(settings.grid.kind)
    return lambda size, origin: plan_of_budget(
        groups, scores, settings.keep, cost, size, origin
    )


def _origin(run: PruneRun, candidate: Candidate) -> dict[str, Any]:
    return {
        'scorer': {key: str(value) for key, value in run.settings.scorer.items()},
        'select': run.settings.select,
        'keep': run.settings.keep.type,
        'grid': run.settings.grid.kind,
        'size': candidate.size,
        'seed': run.seed,
    }


def extract(run: PruneRun) -> None:
    """Features of the training images: ``features_train.npy`` of each network."""
    for candidate in run.candidates:
        if candidate.has(FEATURES) or candidate.has(PROBE):
            continue
        _need(candidate, WEIGHTS, 'score')
        model = run.build(candidate, WEIGHTS)
        found = extract_features(model, run.images['train'])
        with in_one_piece(candidate.path(FEATURES)) as draft, draft.open('wb') as file:
            np.save(file, found)
        run.done(f'{candidate.name}: {found.shape[1]} features an image')


def train(run: PruneRun) -> None:
    """Probe, and recovery: ``classifier.pth`` and a config that loads it."""
    for candidate in run.candidates:
        if not candidate.has(CLASSIFIER):
            if not candidate.has(PROBE):
                _probe(run, candidate)
            _finish(run, candidate)
        # Some hundred networks of some hundred MB; the probe knows all that counts.
        candidate.path(FEATURES).unlink(missing_ok=True)
        # Last, and again if the work dir was moved: it names files.
        write_config(run.cfg, candidate)


def _finish(run: PruneRun, candidate: Candidate) -> None:
    if run.settings.recovery.finetune:
        run.progress(f'{candidate.name}: fine-tuning')
        weights = finetune(run, candidate)
        run.done(f'{candidate.name}: fine-tuned')
    else:
        weights = run.build(candidate, PROBED).state_dict()
    save_weights(weights, candidate.path(CLASSIFIER))


def _probe(run: PruneRun, candidate: Candidate) -> None:
    _need(candidate, FEATURES, 'extract')
    features = np.load(candidate.path(FEATURES))
    images = len(run.images['train'])
    if len(features) != images:
        raise ValueError(
            f'{candidate.path(FEATURES)}: expected a row for each of {images} training '
            f'images, there are {len(features)}; the data changed, delete the file and '
            'extract again'
        )
    probe = _fitted(run, features)
    model = run.build(candidate, WEIGHTS)
    fold_into_head(model.head, probe)
    save_weights(model.state_dict(), candidate.path(PROBED))
    write_json(
        candidate.path(PROBE),
        {
            'c': probe.c,
            'cross_validated_accuracy': probe.accuracy,
            'converged': probe.converged,
            'features': features.shape[1],
        },
    )
    run.done(f'{candidate.name}: {_said(probe)}')


def _fitted(run: PruneRun, features: np.ndarray) -> FittedProbe:
    images, settings = run.images['train'], run.settings.probe
    return fit_probe(
        features,
        images.labels.numpy(),
        int(run.parent.head.num_classes),
        settings,
        run.seed,
        sources=sources_of(images.paths, settings.source),
    )


def _said(probe: FittedProbe) -> str:
    end = '' if probe.converged else ', solver not converged'
    return f'cross-validated accuracy {100 * probe.accuracy:.2f} %, C {probe.c:g}{end}'


def _need(candidate: Candidate, file: str, stage: str) -> None:
    if not candidate.has(file):
        raise FileNotFoundError(
            f'{candidate.path(file)}: expected what stage {stage} writes; run --stage '
            f'{stage} first'
        )


@dataclass(frozen=True)
class Stage:
    """A stage that says how much there is to do, and how long it took.

    Args:
        name: What ``--stage`` calls it.
        run: What it does.
        about: The same for a reader.
        leaves: A network that has one of these files is done with it.
    """

    name: str
    run: Callable[[PruneRun], Any]
    about: str
    leaves: tuple[str, ...]

    def __call__(self, run: PruneRun) -> Any:
        """Run it; say nothing when nothing is left."""
        done = sum(any(map(one.has, self.leaves)) for one in run.candidates)
        left, begin = len(run.candidates) - done, time.monotonic()
        title = f'stage {list(STAGES).index(self.name) + 1} of {len(STAGES)}'
        if left:
            run.progress(
                f'{title}, {self.name}: {self.about}; {left} of '
                f'{len(run.candidates)} networks to go'
            )
        result = self.run(run)
        if left:
            run.progress(
                f'{title}, {self.name}: done in {time.monotonic() - begin:.0f} s'
            )
        return result


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage('score', score, 'filters are scored, networks cut', (WEIGHTS,)),
        Stage('extract', extract, 'features of the images', (FEATURES, PROBE)),
        Stage('train', train, 'heads are fitted, networks trained', (CLASSIFIER,)),
        Stage('test', measure, 'costs and answers are measured', (RESULT,)),
    )
}


def run_all(run: PruneRun) -> Any:
    """All stages in order; what is finished is not done again."""
    result = None
    for stage in STAGES.values():
        result = stage(run)
    return result
