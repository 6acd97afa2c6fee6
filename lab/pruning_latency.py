"""Time networks of several sweeps in one go: only then are they comparable."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmengine.registry import DefaultScope

from mmdefect.apis.saliency import load_classifier
from mmdefect.pruning.channels.cost import Cost, measure_cost
from mmdefect.pruning.sweep.candidates import CLASSIFIER, CONFIG, DENSE, PARENT, PLAN
from mmdefect.utils.dumped_config import check_types, read_dumped_config

# Costs of a network and of the whole one: work dir, name of the network -> both.
Timer = Callable[[Path, str], tuple[dict[str, Any], dict[str, Any]]]
# Turns of the two; a disturbance then hits both, and one of three is overruled.
TURNS = 3


@dataclass(frozen=True)
class TimeAgain:
    """A :data:`Timer` that measures on the CPU, now.

    A sweep times its networks when it tests them, whatever else the machine does at
    that time. Here a network and the whole one that it was cut from take turns.

    Args:
        size: Side of the image in pixels.
        measure: Measures a model on an image of this size.
    """

    size: int
    measure: Callable[[Any, int], Cost] = measure_cost

    def __call__(
        self, work_dir: Path, name: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Time a network of a sweep, and the whole one.

        Raises:
            FileNotFoundError: A network's files are not there.
        """
        names = [DENSE if name == PARENT else name, DENSE]
        models = {each: build_network(work_dir / each) for each in names}
        turns = [
            {each: self.measure(model, self.size) for each, model in models.items()}
            for _ in range(TURNS)
        ]
        network, whole = (
            asdict(turns[0][each])
            | {
                key: statistics.median(getattr(turn[each], key) for turn in turns)
                for key in ('latency_ms_p50', 'latency_ms_p95')
            }
            for each in names
        )
        return network, whole


def build_network(folder: Path) -> Any:
    """Build a network of a sweep on the CPU.

    Raises:
        FileNotFoundError: It lacks ``classifier.py`` or ``classifier.pth``.
        ValueError: Its config is not what ``tools/prune.py`` writes.
    """
    for file in (CONFIG, CLASSIFIER):
        if not (folder / file).is_file():
            raise FileNotFoundError(
                f'{folder / file}: expected a network that tools/prune.py has tested; '
                'run it again, or do not time anew'
            )
    cfg = read_dumped_config(folder / CONFIG)
    built = [cfg.model, cfg.get('data_preprocessor')]
    check_types(built, folder / CONFIG)
    # A work dir may have been moved.
    if 'plan' in cfg.model.backbone:
        cfg.model.backbone.plan = str(folder / PLAN)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope')):
        return load_classifier(cfg, folder / CLASSIFIER).cpu()
