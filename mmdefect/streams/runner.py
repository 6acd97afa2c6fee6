"""Runs the steps of a stream, each with an ordinary MMEngine Runner."""

from __future__ import annotations

import gc
import time
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.logging import MessageHub, MMLogger, print_log
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmdefect.compat import check_provider
from mmdefect.engine.distributed import on_main_process, prepare_distributed
from mmdefect.registry import RUNNERS
from mmdefect.streams import start
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.streams.report import write_report
from mmdefect.streams.resolve import build_stream, resolve_step_config
from mmdefect.streams.runtime import (
    apply_test_flags,
    name_apart,
    write_apart,
)
from mmdefect.streams.state import (
    STATE_FILE,
    StepState,
    StreamState,
    canonical,
    config_hash,
    first_difference,
)
from mmdefect.utils.checkpoint import (
    file_sha256,
    load_weights,
    state_dict_of,
    use_safe_loading,
)
from mmdefect.utils.environment import describe_environment, joined
from mmdefect.utils.files import write_text

MATRIX_FILE = 'matrix.json'


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
        self.cfg = cfg
        self.name = Path(cfg.filename).stem if cfg.filename else 'stream'
        self.work_dir = Path(cfg.get('work_dir') or Path('work_dirs') / self.name)
        self.stream = build_stream(cfg)
        check_provider(self.stream.requires)
        self.state = StreamState(name=self.name, classes=self.stream.classes)

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
                checkpoint has changed, ``start_from`` does not fit, or the data of a
                step cannot be used.
        """
        if self.cfg.get('load_from'):
            raise ValueError(
                f'load_from={self.cfg.load_from!r} is not used by a stream: start from '
                'a model with stream.start_from, continue a stream with a bare --resume'
            )
        if step is not None:
            self.stream.check_step(step)
        prepare_distributed(self.cfg)
        self.state = on_main_process(lambda: self._open_state(step))
        numbers = list(range(len(self.stream)) if step is None else [step])
        on_main_process(lambda: self._check_data(numbers))
        for number in numbers:
            self._run_step(number)

    def test(self, step: int | None = None) -> dict[str, Any]:
        """Score a checkpoint, or every finished step of a work dir.

        ``cfg.load_from`` names the checkpoint or the work dir (its own by default). A
        checkpoint is scored as the step that its meta names, or as ``step``. Scoring a
        work dir rewrites matrix and report.

        Returns:
            The scores of the last step that was tested.
        """
        if step is not None:
            self.stream.check_step(step)
        prepare_distributed(self.cfg)
        target = Path(self.cfg.get('load_from') or self.work_dir)
        if target.is_file():
            if step is None:
                step = start.step_of(target, len(self.stream))
            cfg = self.resolve(step)
            cfg.work_dir = str(self.work_dir / 'test' / f'step_{step}')
            return self._score(cfg, step, target)
        self.work_dir = target
        self.state = on_main_process(lambda: StreamState.load(target))
        return self._test_work_dir(step)

    def resolve(self, step: int) -> Config:
        """Return the ordinary config that ``step`` runs with."""
        cfg = resolve_step_config(self.cfg, step, stream=self.stream)
        cfg.work_dir = str(self.work_dir / f'step_{step}')
        cfg.resume, cfg.load_from = False, None
        name_apart(cfg, f'{self.name}_step_{step}')
        if self.stream.starts_from_previous(step):
            path = self.work_dir / self._checkpoint_of(step - 1)
            self.stream.chain(cfg, step, str(path))
        return cfg

    def _checkpoint_of(self, step: int) -> str:
        """The checkpoint that a step has left, or will leave."""
        if self.state.steps and self.state.steps[step].checkpoint:
            return str(self.state.steps[step].checkpoint)
        loop = self.stream.resolve(self.cfg, step).get('train_cfg') or {}
        if 'max_epochs' in loop:
            return f'step_{step}/epoch_{loop["max_epochs"]}.pth'
        return f'step_{step}/iter_{loop.get("max_iters")}.pth'

    # -- training -----------------------------------------------------------------

    def _open_state(self, only: int | None) -> StreamState:
        """Start a new ``stream.json`` or read the one to continue."""
        if not (self.work_dir / STATE_FILE).exists():
            steps = [
                StepState(step=k, classes=self.stream.new_classes(k))
                for k in range(len(self.stream))
            ]
            if only:
                raise ValueError(_predecessor(only, self.work_dir))
            origin = self.stream.start_from
            state = StreamState(self.name, self.stream.classes, steps, origin)
            self.work_dir.mkdir(parents=True, exist_ok=True)
            start.take_over(self.stream, state, self.resolve(0), self.work_dir)
            state.save(self.work_dir)
            return state
        if not self.cfg.get('resume'):
            raise FileExistsError(
                f'{self.work_dir} already holds a stream ({STATE_FILE}): add --resume '
                'to continue it, or choose another --work-dir'
            )
        state = StreamState.load(self.work_dir)
        expected = [self.stream.new_classes(k) for k in range(len(self.stream))]
        if [s.classes for s in state.steps] != expected:
            raise ValueError(
                f'cannot resume {self.work_dir}: it was started with the steps '
                f'{[s.classes for s in state.steps]}, the config now has {expected}; '
                'use the same protocol or another --work-dir'
            )
        if state.start_from != self.stream.start_from:
            raise ValueError(
                f'cannot resume {self.work_dir}: it was started with '
                f'stream.start_from={state.start_from!r}, the config now has '
                f'{self.stream.start_from!r}; use the same or another --work-dir'
            )
        return state

    def _check_data(self, numbers: list[int]) -> None:
        """Have the data of later steps looked at before the first one trains."""
        left = [k for k in numbers if self.state.steps[k].state != 'finished']
        for step in left:
            trains = self.state.steps[step].state in ('pending', 'running')
            self.stream.check_data(
                self.resolve(step),
                train=trains and step != left[0],  # whose set is built right after
                test=step == left[-1],  # it has all classes
            )

    def _run_step(self, step: int) -> None:
        state = self.state.steps[step]
        if step and self.state.steps[step - 1].state != 'finished':
            raise ValueError(_predecessor(step, self.work_dir))
        cfg = self.resolve(step)
        on_main_process(lambda: self._check_step(state, cfg))
        if state.state == 'finished':
            self._say(f'step {step} is already finished')
            return
        self._say(
            f'step {step} of 0-{len(self.stream) - 1}: {", ".join(state.classes)}'
        )
        self._record_start(state, cfg)
        begin = time.monotonic()
        if state.state == 'running':
            runner = self._train(cfg, step)
            self._record_checkpoint(state, runner)
            state.duration_s += time.monotonic() - begin
            self._save_state()
            scores = self._compared(runner, step).test()
            tear_down(runner)
            del runner
        else:  # trained before, or reused: only the scores are missing
            path = self.work_dir / str(state.checkpoint)
            scores = self._score(cfg, step, path)
        self._record_scores(step, scores)
        state.state = 'finished'
        self._save_state()
        if is_main_process():
            self._say(f'report: {write_report(self.work_dir)}')
        barrier()

    def _check_step(self, state: StepState, cfg: Config) -> None:
        """Refuse to continue a step whose config or checkpoint has changed."""
        if self._has_begun(state) and state.config_hash != config_hash(cfg):
            difference: str | None = 'an unknown key'
            if state.config and (self.work_dir / state.config).is_file():
                recorded = Config.fromfile(self.work_dir / state.config)
                difference = first_difference(canonical(cfg), canonical(recorded))
            if difference:  # without one, the hash is of a type's former name
                raise ValueError(
                    f'cannot resume step {state.step} of {self.work_dir}: its config '
                    f'has changed, first at {difference}; undo the change or use '
                    'another --work-dir'
                )
        if state.checkpoint_sha256:
            start.verify(self.work_dir / str(state.checkpoint), state.checkpoint_sha256)

    def _has_begun(self, state: StepState) -> bool:
        """Whether a step holds any training that another config could spoil."""
        if state.state == 'running':
            folder = self.work_dir / f'step_{state.step}'
            return start.last_checkpoint(folder) is not None
        return state.config_hash is not None

    def _record_start(self, state: StepState, cfg: Config) -> None:
        state.config = f'step_{state.step}/{self.name}.py'
        state.config_hash = config_hash(cfg)
        if state.state == 'pending':
            state.state = 'running'
        if state.state == 'running':
            state.environment = joined(state.environment, describe_environment())
        if self.stream.starts_from_previous(state.step):
            state.started_from = self.state.steps[state.step - 1].checkpoint
        if is_main_process():
            path = self.work_dir / state.config
            path.parent.mkdir(parents=True, exist_ok=True)
            cfg.dump(path)
        self._save_state()

    def _train(self, cfg: Config, step: int) -> Runner:
        last = on_main_process(lambda: start.last_checkpoint(Path(cfg.work_dir)))
        if last is not None:
            self._say(f'step {step} continues at {last}')
            cfg.resume, cfg.load_from = True, str(last)
        runner = self._build(cfg, step)
        runner.train()
        return runner

    def _build(self, cfg: Config, step: int) -> Runner:
        """Build a Runner and keep it from dumping its config over the recorded one.

        The recorded one trains alone, without the flags and paths of this run.
        """
        gc.collect()  # a Runner, its model and its loaders hold each other
        recorded = self.work_dir / f'step_{step}' / f'{self.name}.py'
        text = recorded.read_text(encoding='utf-8') if recorded.is_file() else None
        runner = Runner.from_cfg(cfg)
        if text is not None and is_main_process():
            write_text(recorded, text)
        return runner

    def _record_checkpoint(self, state: StepState, runner: Runner) -> None:
        def publish() -> tuple[str, str]:
            path = start.last_checkpoint(Path(runner.work_dir))
            if path is None:
                raise FileNotFoundError(
                    f'step {state.step} saved no checkpoint in {runner.work_dir}: its '
                    'default_hooks.checkpoint must save the last epoch'
                )
            relative = f'step_{state.step}/{path.name}'
            return relative, file_sha256(path)

        state.checkpoint, state.checkpoint_sha256 = on_main_process(publish)
        state.state = 'trained'

    # -- scores -------------------------------------------------------------------

    def _test_work_dir(self, only: int | None) -> dict[str, Any]:
        scores: dict[str, Any] = {}
        for state in self.state.steps:
            if state.checkpoint is None:
                self._say(f'step {state.step} is not trained yet and not tested')
            elif only in (None, state.step):
                path = self.work_dir / state.checkpoint
                cfg = self.resolve(state.step)
                if only is None:
                    write_apart(cfg, state.step)
                scores = self._score(cfg, state.step, path)
                self._record_scores(state.step, scores)
        if is_main_process():
            self._say(f'report: {write_report(self.work_dir)}')
        barrier()
        return scores

    def _score(self, cfg: Config, step: int, checkpoint: Path) -> dict[str, Any]:
        """Test a checkpoint whose keys must fit the step's model exactly."""
        apply_test_flags(cfg)
        runner = self._build(cfg, step)
        model = runner.model
        while hasattr(model, 'module'):  # DDP, test-time augmentation
            model = model.module
        loaded = load_weights(checkpoint)
        state = state_dict_of(loaded)
        start.check_keys(state, model.state_dict(), checkpoint, step)
        start.check_classes(loaded, self.stream.seen_classes(step), checkpoint, step)
        model.load_state_dict(state)
        scores = self._compared(runner, step).test()
        tear_down(runner)
        return scores

    def _compared(self, runner: Runner, step: int) -> Runner:
        """Tell the metrics what the step before and the upper bound scored."""
        known = {
            'previous': self._scores_in(self.work_dir, step - 1),
            'joint': self._scores_in(self.stream.joint, step),
        }
        for metric in runner.test_evaluator.metrics if any(known.values()) else []:
            if hasattr(metric, 'compare_with'):
                metric.compare_with(**{k: v or None for k, v in known.items()})
        return runner

    def _scores_in(self, work_dir: str | Path | None, step: int) -> dict[str, float]:
        """Class -> leading metric after a step of a stream; empty if not known."""
        path = Path(work_dir or '') / MATRIX_FILE
        if step < 0 or work_dir is None or not path.is_file():
            return {}
        return StreamMatrix.load(path).scores(step, self.stream.metrics[0])

    def _record_scores(self, step: int, scores: dict[str, Any]) -> None:
        if not is_main_process():
            return
        path = self.work_dir / MATRIX_FILE
        stream = self.stream
        matrix = (
            StreamMatrix.load(path)
            if path.is_file()
            else StreamMatrix(classes=stream.classes, metrics=stream.metrics)
        )
        matrix.add_step(
            step=step,
            old=stream.old_classes(step),
            new=stream.new_classes(step),
            scalars=scores,
        )
        matrix.save(path)

    # -- small things -------------------------------------------------------------

    def _save_state(self) -> None:
        if is_main_process():
            self.state.save(self.work_dir)

    def _say(self, text: str) -> None:
        print_log(f'[{self.name}] {text}', logger='current')


def _predecessor(step: int, work_dir: Path) -> str:
    return (
        f'step {step} cannot run: step {step - 1} is not finished in {work_dir}; run '
        f'it first (--step {step - 1}), then this one with --resume'
    )


def tear_down(runner: Runner) -> None:
    """Close what a Runner leaves open, so that the next one starts clean."""
    runner.visualizer.close()
    for handler in list(runner.logger.handlers):
        handler.close()
    name = runner.experiment_name
    for cls in (MMLogger, MessageHub, DefaultScope):
        cls._instance_dict.pop(name, None)
    for cls in (Visualizer, type(runner.visualizer)):
        cls._instance_dict.pop(runner.visualizer.instance_name, None)
