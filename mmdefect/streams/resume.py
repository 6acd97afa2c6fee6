"""What a work dir holds of a step, compared with what its config says now."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmdefect.streams.matrix import MATRIX_FILE, StreamMatrix
from mmdefect.streams.report.record import MAPS_FILE, SAMPLES_FILE, read_maps
from mmdefect.streams.settings import scoring_hash, scoring_part, training_part
from mmdefect.streams.state import (
    StepState,
    canonical,
    config_hash,
    differences,
    first_difference,
    inside,
)
from mmdefect.utils.config import as_list
from mmdefect.utils.dumped_config import read_dumped_config
from mmdefect.utils.files import is_stale

# Hook -> what it leaves in the folder of a step when the step is scored.
_PICTURES = {'SamplePredictionsHook': SAMPLES_FILE, 'AnomalyMapHook': MAPS_FILE}


def recorded_config(work_dir: Path, state: StepState) -> Config | None:
    """Return the config that a step was started with, if it is there.

    Raises:
        ValueError: It is damaged, or lies outside the work dir.
    """
    path = inside(work_dir, state.config) if state.config else None
    return read_dumped_config(path) if path is not None and path.is_file() else None


def compare(
    work_dir: Path, state: StepState, cfg: Config
) -> tuple[str | None, list[str]]:
    """Compare the config of a step with the one that was recorded for it.

    Args:
        work_dir: Of the stream that recorded the step.
        state: The step.
        cfg: Its config now.

    Returns:
        What forbids to go on, the first difference that decides the weights, if there
        is one; and all differences that leave the weights alone.
    """
    if state.config_hash == config_hash(cfg):
        return None, []
    found = recorded_config(work_dir, state)
    if found is None:
        return 'an unknown key', []
    recorded, ours = canonical(found), canonical(cfg)
    # Not by hash: an older version may have recorded it, which knew fewer settings.
    forbidden = first_difference(training_part(ours), training_part(recorded))
    return forbidden, list(differences(ours, recorded))


def stale_scores(work_dir: Path, state: StepState, cfg: Config) -> str | None:
    """Say why a finished step must be scored again, if it must.

    Args:
        work_dir: Of the stream.
        state: The step.
        cfg: Its config now.
    """
    matrix = work_dir / MATRIX_FILE
    scored = (
        [s.step for s in StreamMatrix.load(matrix).steps] if matrix.exists() else []
    )
    if state.step not in scored:
        return f'{MATRIX_FILE} has no scores of it'
    if reason := other_scoring(work_dir, state, cfg):
        return reason
    weights = inside(work_dir, state.checkpoint) if state.checkpoint else work_dir
    return _missing_pictures(work_dir / f'step_{state.step}', cfg, weights)


def other_scoring(work_dir: Path, state: StepState, cfg: Config) -> str | None:
    """Say what differs between the test settings of a step's scores and those now."""
    if state.scoring_hash == scoring_hash(cfg):
        return None
    recorded, found = recorded_config(work_dir, state), None
    if recorded is not None:
        ours, theirs = (scoring_part(canonical(each)) for each in (cfg, recorded))
        found = first_difference(ours, theirs)
    if found is None and state.scoring_hash is None:  # an older version's work dir
        return None
    return f'its scores are of other test settings: {found or "of tools/test.py"}'


def _missing_pictures(folder: Path, cfg: Config, weights: Path) -> str | None:
    named = (cfg.get('default_hooks') or {}).values()
    for hook in [*named, *as_list(cfg.get('custom_hooks'))]:
        name = _PICTURES.get(str((hook or {}).get('type')).rpartition('.')[2])
        if name is None:
            continue
        if not (folder / name).is_file():
            return f'{folder.name}/{name} is missing'
        if is_stale(folder / name, weights):
            return f'{folder.name}/{name} is older than {weights.name}'
        try:
            maps = read_maps(folder) if name == MAPS_FILE else []
        except ValueError:
            return f'{folder.name}/{name} is damaged'
        for entry in maps:
            if not Path(entry['picture']).is_file():
                return f'{entry["picture"]} is missing'
    return None
