"""Runs the steps of a stream, each with an ordinary MMEngine Runner."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import get_world_size, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmdefect.compat import check_provider
from mmdefect.engine.run_config import name_apart, write_apart
from mmdefect.registry import RUNNERS
from mmdefect.streams import checkpoints
from mmdefect.streams.closing import draw_report, sum_up
from mmdefect.streams.launch import build_step_runner, tear_down
from mmdefect.streams.progress import StepClock
from mmdefect.streams.resume import (
    compare,
    other_scoring,
    recorded_config,
    stale_scores,
)
from mmdefect.streams.scoring import Scorer
from mmdefect.streams.settings import scoring_hash, shared_scoring_hash
from mmdefect.streams.state import StepState, StreamState, config_hash, inside
from mmdefect.streams.stream import build_stream, resolve_step_config
from mmdefect.utils.checkpoint import load_weights, state_dict_of, use_safe_loading
from mmdefect.utils.checks import some_of
from mmdefect.utils.console import quiet_console
from mmdefect.utils.distributed import on_main_process, prepare_distributed
from mmdefect.utils.environment import describe_environment, joined
from mmdefect.utils.files import file_sha256, write_text
from mmdefect.utils.interrupts import Interrupted
from mmdefect.utils.whole_checkpoint import found_checkpoints, newest_whole


@RUNNERS.register_module()
class StreamRunner:
    """Train or test a stream: what ``runner_type = 'mmdefect.StreamRunner'`` builds.

    It is no subclass of MMEngine's ``Runner``. For each step it resolves an ordinary
    config, dumps it as ``step_k/<name>.py`` (which any OpenMMLab tool can train or
    test), runs an ordinary ``Runner`` on it, scores the last epoch on the whole test
    set, and tears it down; all steps share one process group.

    Args:
        cfg: A config with a ``stream``.
    """

    def __init__(self, cfg: Config) -> None:
        use_safe_loading()
        quiet_console()
        self.cfg = cfg
        self.name = Path(cfg.filename).stem if cfg.filename else 'stream'
        self.work_dir = Path(cfg.get('work_dir') or Path('work_dirs') / self.name)
        self.stream = build_stream(cfg)
        check_provider(self.stream.requires)
        self.state = StreamState(name=self.name, classes=self.stream.classes)
        self._iterations: dict[int, int] = {}

    @classmethod
    def from_cfg(cls, cfg: Config) -> StreamRunner:
        """Build from a config, as MMEngine's ``RUNNERS.build`` does."""
        return cls(cfg)

    def train(self, step: int | None = None) -> None:
        """Train and score all steps, or one.

        Args:
            step: The only step to run; its predecessors must be finished.

        Raises:
            FileExistsError: The work dir already holds a stream and ``resume`` is off.
            ValueError: The stream was started with another config, a finished step's
                checkpoint has changed or is not finite, ``start_from`` does not fit,
                or the data of a step cannot be used.
            RuntimeError: All is trained and scored, but the report cannot be drawn.
        """
        if self.cfg.get('load_from'):
            raise ValueError(
                f'load_from={self.cfg.load_from!r}: expected none in a stream; start '
                'from a model with stream.start_from, continue with a bare --resume'
            )
        if step is not None:
            self.stream.check_step(step)
        prepare_distributed(self.cfg)
        self.state = on_main_process(lambda: self._open_state(step))
        numbers = list(range(len(self.stream)) if step is None else [step])
        self._iterations = on_main_process(lambda: self._check_data(numbers))
        self._save_state()  # not before: what is refused leaves the work dir free
        for number in numbers:
            try:
                done = self._run_step(number)
            except Interrupted as stop:
                stop.args = (f'step {number}',)
                raise
            on_main_process(partial(self._remember, number))
            if done and number != numbers[-1]:
                on_main_process(
                    lambda: draw_report(self.work_dir, self._say, self.stream.joint)
                )
        self._conclude(numbers)

    def test(self, step: int | None = None) -> dict[str, Any]:
        """Score a checkpoint, or every finished step of a work dir.

        ``cfg.load_from`` names the checkpoint or the work dir (its own by default). A
        checkpoint is scored as the step that its meta names, or as ``step``. Scoring a
        work dir rewrites matrix and report.

        Returns:
            The scores of the last step that was tested.

        Raises:
            FileNotFoundError: The work dir holds no stream.
            ValueError: A checkpoint is not of its step.
            RuntimeError: All is scored, but the report cannot be drawn.
        """
        if step is not None:
            self.stream.check_step(step)
        prepare_distributed(self.cfg)
        target = Path(self.cfg.get('load_from') or self.work_dir)
        if target.is_file():
            if step is None:
                step = checkpoints.step_of(target, len(self.stream))
            cfg = self.resolve(step)
            cfg.work_dir = str(self.work_dir / 'test' / f'step_{step}')
            return self._scorer.score(cfg, step, target)[0]
        self.work_dir = target
        self.state = on_main_process(lambda: StreamState.load(target))
        return self._test_work_dir(step)

    def resolve(self, step: int) -> Config:
        """Return the ordinary config that ``step`` runs with."""
        cfg = self._without_memory(step)
        if step:
            self.stream.recall(cfg, step, self._memory_of(step - 1))
        return cfg

    def _without_memory(self, step: int) -> Config:
        """Return the same with the data of the step alone: the rest may be to come."""
        cfg = resolve_step_config(self.cfg, step, stream=self.stream)
        cfg.work_dir = str(self.work_dir / f'step_{step}')
        cfg.resume, cfg.load_from = False, None
        name_apart(cfg, f'{self.name}_step_{step}')
        if self.stream.starts_from_previous(step):
            left = self.state.steps[step - 1].checkpoint if self.state.steps else None
            # Read when the step trains, and then there is one.
            path = self.work_dir / (left or f'step_{step - 1}/last.pth')
            self.stream.chain(cfg, step, str(path))
        return cfg

    # -- training -----------------------------------------------------------------

    def _open_state(self, only: int | None) -> StreamState:
        """Start a new ``stream.json`` or read the one to continue."""
        if not checkpoints.begun(self.work_dir, resume=bool(self.cfg.get('resume'))):
            steps = [
                StepState(step=k, classes=self.stream.new_classes(k))
                for k in range(len(self.stream))
            ]
            if only:
                raise checkpoints.not_finished(only, self.work_dir)
            origin = self.stream.start_from
            state = StreamState(self.name, self.stream.classes, steps, origin)
            self.work_dir.mkdir(parents=True, exist_ok=True)
            first = self.resolve(0)
            checkpoints.take_over(self.stream, state, first, self.work_dir)
            if steps[0].state == 'trained':
                self._record_config(steps[0], first)
            return state
        return checkpoints.continued(self.stream, self.work_dir)

    def _check_data(self, numbers: list[int]) -> dict[int, int]:
        """Have the data of all steps looked at before the first one trains.

        Returns:
            Step -> iterations of its training, for steps that are to be trained.
        """
        states = self.state.steps
        for step in numbers:
            self._changes(states[step], self.resolve(step))
        left = [k for k in numbers if states[k].state != 'finished']
        configs = {step: self._without_memory(step) for step in left}
        # Usually one test set, of which the last step sees all classes.
        tests = {shared_scoring_hash(cfg): step for step, cfg in configs.items()}
        return {
            step: self.stream.check_data(
                cfg,
                step,
                train=states[step].state in ('pending', 'running'),
                test=step in tests.values(),
            )
            for step, cfg in configs.items()
        }

    def _run_step(self, step: int) -> bool:
        """Train and score a step, or what is left of it; whether anything was."""
        state = self.state.steps[step]
        if step and self.state.steps[step - 1].state != 'finished':
            raise checkpoints.not_finished(step, self.work_dir)
        if step:
            on_main_process(lambda: self._look_back(step))
        cfg = self.resolve(step)
        stale = on_main_process(lambda: self._check_step(state, cfg))
        if state.state == 'finished':
            if stale is None:
                self._say(f'step {step} is already finished')
                return False
            self._say(f'step {step} is finished and scored again: {stale}')
            state.state = 'trained'
        else:
            classes = ', '.join(state.classes)
            self._say(f'step {step} of 0-{len(self.stream) - 1}: {classes}')
        self._record_start(state, cfg)
        if state.state == 'running':
            self._train(cfg, state)
        # A config of its own: a resumed training has changed the one above.
        self._score(self.resolve(step), state)
        return True

    def _memory_of(self, step: int) -> Path:
        return self.work_dir / f'step_{step}' / 'memory'

    def _look_back(self, step: int) -> None:
        """Make sure that a step finds what was kept for it."""
        self._remember(step - 1)
        if self.state.steps[step].state in ('pending', 'running'):
            cfg, folder = self._without_memory(step), self._memory_of(step - 1)
            self.stream.prepare(cfg, step, folder)

    def _remember(self, step: int) -> None:
        """Have a step leave what later ones may see of it; one process does it."""
        folder, before = self._memory_of(step), self._memory_of(step - 1)
        kept = self.stream.remember(self._without_memory(step), step, folder, before)
        if kept:
            self._say(f'step {step} keeps {kept}: {folder}')

    def _check_step(self, state: StepState, cfg: Config) -> str | None:
        """Refuse to continue a step whose training or checkpoint has changed.

        Returns:
            Why a finished step must be scored again, or ``None``.
        """
        changes = self._changes(state, cfg)
        if state.checkpoint_sha256:
            path = inside(self.work_dir, str(state.checkpoint))
            checkpoints.verify(path, state.checkpoint_sha256)
        finished = state.state == 'finished'
        stale = stale_scores(self.work_dir, state, cfg) if finished else None
        if changes and (stale or not finished):
            self._say(
                f'step {state.step} takes over changes that its weights do not hang '
                f'on: {some_of(changes)}'
            )
        processes = state.environment.get('processes', str(get_world_size()))
        if state.state == 'running' and processes != str(get_world_size()):
            self._say(
                f'step {state.step} was begun by {processes} processes and goes on '
                f'with {get_world_size()}: a batch has another size from here on',
                logging.WARNING,
            )
        return stale

    def _changes(self, state: StepState, cfg: Config) -> list[str]:
        """Return what has changed; refuse what its training could not have had."""
        folder = self.work_dir / f'step_{state.step}'
        if state.config_hash is None or (
            state.state == 'running' and not found_checkpoints(folder)
        ):
            return []  # no training that another config could spoil
        forbidden, changes = compare(self.work_dir, state, cfg)
        if forbidden:
            raise ValueError(
                f'{self.work_dir}: expected step {state.step} as it was begun; its '
                f'config has changed, first at {forbidden}; undo the change or use '
                'another --work-dir'
            )
        return changes

    def _record_start(self, state: StepState, cfg: Config) -> None:
        if state.state == 'pending':
            state.state = 'running'
        if state.state == 'running':
            here = {**describe_environment(), 'processes': str(get_world_size())}
            state.environment = joined(state.environment, here)
        if self.stream.starts_from_previous(state.step):
            state.started_from = self.state.steps[state.step - 1].checkpoint
        self._record_config(state, cfg)
        self._save_state()

    def _record_config(self, state: StepState, cfg: Config) -> None:
        name = f'step_{state.step}/{self.name}.py'
        if is_main_process():  # others could read what is half written
            trained = state.state == 'trained'
            if trained and (old := recorded_config(self.work_dir, state)):
                # What has trained it is past; how it is scored is not.
                past = {'train_dataloader': old.train_dataloader}
                cfg = Config({**cfg.to_dict(), **past})
            state.config_hash = config_hash(cfg)
            write_text(self.work_dir / name, cfg.pretty_text)
        state.config = name

    def _train(self, cfg: Config, state: StepState) -> None:
        step = state.step
        folder = Path(cfg.work_dir)
        last = on_main_process(lambda: newest_whole(folder, self._warn))
        if last is not None:
            self._say(f'step {step} continues at {last}')
            cfg.resume, cfg.load_from = True, str(last)
        later = sum(n for k, n in self._iterations.items() if k > step)
        clock = StepClock(later=later)
        runner = build_step_runner(cfg, self.work_dir / str(state.config))
        runner.register_hook(clock)
        runner.train()
        state.duration_s = clock.elapsed
        found = on_main_process(lambda: self._publish(state, runner))
        state.checkpoint, state.checkpoint_sha256 = found
        state.state = 'trained'
        self._save_state()
        tear_down(runner)

    def _publish(self, state: StepState, runner: Runner) -> tuple[str, str]:
        """Return name and hash of the checkpoint that a step leaves."""
        path = checkpoints.last_checkpoint(Path(runner.work_dir))
        if path is None:
            raise FileNotFoundError(
                f'{runner.work_dir}: expected a checkpoint of step {state.step}; have '
                'default_hooks.checkpoint save the last epoch'
            )
        loaded = load_weights(path)
        state_dict_of(loaded, path)  # refuses weights that are not finite
        done = loaded.get('meta', {}).get('iter', runner.iter)
        if done < runner.iter:
            self._say(
                f'step {state.step} leaves {path.name}, saved after {done} of '
                f'{runner.iter} iterations: that is what is scored and what the next '
                'step starts from; set save_last=True in default_hooks.checkpoint to '
                'save the last epoch',
                logging.WARNING,
            )
        return f'step_{state.step}/{path.name}', file_sha256(path)

    # -- scores -------------------------------------------------------------------

    @property
    def _scorer(self) -> Scorer:
        return Scorer(name=self.name, work_dir=self.work_dir, stream=self.stream)

    def _score(self, cfg: Config, state: StepState) -> dict[str, Any]:
        """Score the checkpoint that a step has left; the step is finished then."""
        # Before the run: what it adds for --out or --tta is not the step's.
        made_with = scoring_hash(cfg)
        path = inside(self.work_dir, str(state.checkpoint))
        scores, diagnosis = self._scorer.score(cfg, state.step, path)
        self._scorer.record(state.step, scores, diagnosis)
        state.scoring_hash = made_with
        state.state = 'finished'
        self._save_state()
        return scores

    def _test_work_dir(self, only: int | None) -> dict[str, Any]:
        scores: dict[str, Any] = {}
        tested = []
        for state in self.state.steps:
            if state.checkpoint is None:
                self._say(f'step {state.step} is not trained yet and not tested')
            elif only in (None, state.step):
                cfg = self.resolve(state.step)
                if only is None:
                    write_apart(cfg, state.step)
                scores = self._score(cfg, state)
                tested.append(state.step)
        self._conclude(tested)
        return scores

    def _conclude(self, done: list[int]) -> None:
        """Name scores that are not comparable, draw the report, show all scores."""
        on_main_process(lambda: self._name_other_scoring(done))
        on_main_process(lambda: sum_up(self.work_dir, self._say, self.stream.joint))

    def _name_other_scoring(self, done: list[int]) -> None:
        for state in self.state.steps:
            if state.state != 'finished' or state.step in done:
                continue
            if why := other_scoring(self.work_dir, state, self.resolve(state.step)):
                self._say(
                    f'step {state.step} is not comparable, {why}; score all steps '
                    f'with tools/test.py CONFIG {self.work_dir}',
                    logging.WARNING,
                )

    # -- small things -------------------------------------------------------------

    def _save_state(self) -> None:
        if is_main_process():
            self.state.save(self.work_dir)

    def _warn(self, text: str) -> None:
        self._say(text, logging.WARNING)

    def _say(self, text: str, level: int = logging.INFO) -> None:
        print_log(f'[{self.name}] {text}', logger='current', level=level)
