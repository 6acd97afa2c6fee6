"""tools/train.py and tools/test.py as a user starts them, on toy images."""

from __future__ import annotations

import json
import pickle
import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmdefect.apis import load_config
from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO, run_tool, tool_env, toy_options

PLAIN = REPO / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
STREAM = REPO / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'
EPOCH = {
    'train_cfg.max_epochs': 1,
    'train_dataloader.batch_size': 6,
    'default_hooks.logger.interval': 1,
}
RunTool = Callable[..., None]


def flags(options: dict) -> list[str]:
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def run_script(script: str, *args: object) -> None:
    """Start a shell script with this environment's torchrun."""
    path = f'{Path(sys.executable).parent}:{tool_env()["PATH"]}'
    done = subprocess.run(
        [str(REPO / script), *map(str, args)],
        cwd=REPO,
        env=tool_env(PATH=path),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> RunTool:
    """Run a tool in this process; an import of torch and mmdet costs five seconds."""

    def run(script: str, *args: object) -> None:
        monkeypatch.setenv('LOCAL_RANK', '0')  # the tools set it for good
        monkeypatch.setattr(sys, 'argv', [script, *map(str, args)])
        runpy.run_path(str(REPO / script), run_name='__main__')

    return run


def scores_of(work_dir: Path) -> dict[str, float]:
    (path,) = work_dir.glob('2*/2*.json')
    return json.loads(path.read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def odd_options(toy_neu_det: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Eleven test images, which two processes cannot share evenly.

    One epoch teaches nothing, so every score counts, and so does a box that barely
    touches: the AP is small but moves with every image lost or counted twice.
    """
    coco = json.loads((toy_neu_det / 'coco/test.json').read_text(encoding='utf-8'))
    dropped = coco['images'].pop()['id']
    assert len(coco['images']) == 11
    coco['annotations'] = [a for a in coco['annotations'] if a['image_id'] != dropped]
    path = tmp_path_factory.mktemp('odd') / 'test.json'
    path.write_text(json.dumps(coco), encoding='utf-8')
    return {
        **toy_options(toy_neu_det),
        'test_dataloader.dataset.ann_file': path,
        'test_evaluator.ann_file': path,
        'test_dataloader.batch_size': 2,
        'test_evaluator.iou_thrs': '[0.05,0.5]',
        'model.test_cfg.score_thr': 0.0,
    }


@pytest.fixture(scope='module')
def trained(toy_neu_det: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of one epoch in two processes."""
    work_dir = tmp_path_factory.mktemp('trained')
    options = {**toy_options(toy_neu_det), **EPOCH}
    args = (PLAIN, 2, '--work-dir', work_dir, *flags(options))
    run_script('tools/dist_train.sh', *args)
    return work_dir / 'epoch_1.pth'


@pytest.fixture(scope='module')
def tested(trained: Path, odd_options: dict, tmp_path_factory) -> Path:
    """Work dir of a test in one process, with predictions written and drawn."""
    work_dir = tmp_path_factory.mktemp('tested')
    args = ['--work-dir', work_dir, '--out', work_dir / 'preds.pkl']
    args += ['--show-dir', work_dir / 'drawn', *flags(odd_options)]
    done = run_tool('tools/test.py', PLAIN, trained, *args)
    assert f'\n11 pictures in {work_dir / "drawn"}\n' in done.stdout
    return work_dir


@pytest.mark.slow
class TestPlainConfig:
    """A config without a stream is an ordinary OpenMMLab config."""

    def test_feature_dist_train(self, trained: Path) -> None:
        """Two gloo processes share the images: 48 in 4 iterations of 2 x 6."""
        loaded = load_weights(trained)
        assert loaded['meta']['iter'] == 4
        assert loaded['state_dict']['bbox_head.gfl_cls.weight'].shape[0] == 6
        assert not any(key.startswith('module.') for key in loaded['state_dict'])
        assert 'stream' not in loaded['meta']
        assert not (trained.parent / 'stream.json').exists()

    def test_feature_dist_test_equals_one_process(
        self, trained: Path, tested: Path, odd_options: dict, tmp_path: Path
    ) -> None:
        args = (PLAIN, trained, 2, '--work-dir', tmp_path, *flags(odd_options))
        run_script('tools/dist_test.sh', *args)
        one, two = scores_of(tested), scores_of(tmp_path)
        names = [name for name in one if name.startswith('coco/')]
        assert len(names) > 15
        assert one['coco/bbox_mAP'] > 0
        for name in names:
            assert two[name] == pytest.approx(one[name], abs=1e-9, nan_ok=True), name

    def test_feature_out(self, tested: Path) -> None:
        predictions = pickle.loads((tested / 'preds.pkl').read_bytes())
        assert len({sample['img_id'] for sample in predictions}) == 11
        assert all(len(p['pred_instances']['scores']) > 10 for p in predictions)

    def test_feature_show_dir(self, tested: Path) -> None:
        assert len(list((tested / 'drawn/IMAGES').glob('*.*'))) == 11

    def test_feature_tta(
        self,
        trained: Path,
        tested: Path,
        odd_options: dict,
        tmp_path: Path,
        call: RunTool,
    ) -> None:
        args = ('--work-dir', tmp_path, '--tta', *flags(odd_options))
        call('tools/test.py', PLAIN, trained, *args)
        flipped, plain = scores_of(tmp_path), scores_of(tested)
        assert flipped['coco/bbox_mAP'] > 0
        assert flipped['coco/bbox_mAP'] != plain['coco/bbox_mAP']

    def test_feature_amp_and_auto_scale_lr(
        self, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        """bfloat16 on CPU, and a learning rate for 6 images instead of 16."""
        options = {**toy_options(toy_neu_det), **EPOCH}
        args = ('--work-dir', tmp_path, '--amp', '--auto-scale-lr', *flags(options))
        run_tool('tools/train.py', PLAIN, *args)
        dumped = (tmp_path / PLAIN.name).read_text(encoding='utf-8')
        assert "type='mmdefect.CPUAmpOptimWrapper'" in dumped
        optimizer = load_weights(tmp_path / 'epoch_1.pth')['optimizer']
        for group in optimizer['param_groups']:
            assert group['initial_lr'] == pytest.approx(0.002 * 6 / 12)
        (log,) = tmp_path.glob('2*/vis_data/scalars.json')
        losses = [
            json.loads(line).get('loss')
            for line in log.read_text(encoding='utf-8').splitlines()
        ]
        assert len(losses) >= 8
        assert all(0 < loss < 100 for loss in losses if loss is not None)


@pytest.mark.slow
def test_feature_one_step_of_a_stream(
    toy_neu_det: Path, tmp_path: Path, call: RunTool
) -> None:
    """`--step 0` trains step 0 only; a work dir is tested with `--step`, `--tta`."""
    work_dir = tmp_path / 'work'
    options = flags({**toy_options(toy_neu_det), **EPOCH})
    run_tool('tools/train.py', STREAM, '--work-dir', work_dir, '--step', 0, *options)
    state = StreamState.load(work_dir)
    assert [step.state for step in state.steps] == ['finished', 'pending']
    assert not (work_dir / 'step_1').exists()
    args = [STREAM, work_dir, '--step', 0, '--tta', '--work-dir', tmp_path / 'test']
    args += ['--out', tmp_path / 'preds.pkl', '--show-dir', tmp_path / 'drawn']
    call('tools/test.py', *args, *options)
    assert len(pickle.loads((tmp_path / 'preds.pkl').read_bytes())) == 12
    assert len(list((tmp_path / 'drawn/step_0').iterdir())) == 12
    rows = json.loads((work_dir / 'matrix.json').read_text(encoding='utf-8'))['steps']
    assert [row['step'] for row in rows] == [0]


class TestErrors:
    """One sentence each, before anything is built."""

    @pytest.mark.parametrize('tool', ['train', 'test'])
    def test_exception_missing_config(self, tool: str, call: RunTool) -> None:
        more = ['x.pth'] if tool == 'test' else []
        with pytest.raises(
            FileNotFoundError, match=r"config 'none\.py' does not exist"
        ):
            call(f'tools/{tool}.py', 'none.py', *more)

    def test_exception_missing_checkpoint(self, call: RunTool) -> None:
        message = r"'none\.pth' does not exist: expected a checkpoint file or the work"
        with pytest.raises(FileNotFoundError, match=message):
            call('tools/test.py', PLAIN, 'none.pth')

    @pytest.mark.parametrize('tool', ['train', 'test'])
    def test_exception_step_without_a_stream(
        self, tool: str, tmp_path: Path, call: RunTool
    ) -> None:
        (tmp_path / 'x.pth').touch()
        more = [tmp_path / 'x.pth'] if tool == 'test' else []
        with pytest.raises(ValueError, match='--step 1 needs a config with a stream'):
            call(f'tools/{tool}.py', PLAIN, *more, '--step', 1, '--work-dir', tmp_path)

    @pytest.mark.parametrize('config', [PLAIN, STREAM])
    def test_exception_resume_from_a_missing_file(
        self, config: Path, tmp_path: Path, call: RunTool
    ) -> None:
        message = r"--resume 'none\.pth' is no file: give a checkpoint, or a bare"
        with pytest.raises(FileNotFoundError, match=message):
            call('tools/train.py', config, '--resume', 'none.pth')

    def test_exception_auto_scale_lr(self, tmp_path: Path, call: RunTool) -> None:
        path = tmp_path / 'mine.py'
        path.write_text(
            f'_base_ = {str(PLAIN)!r}\nauto_scale_lr = None\n', encoding='utf-8'
        )
        message = r'--auto-scale-lr needs auto_scale_lr=dict\(enable=False'
        with pytest.raises(ValueError, match=message):
            call('tools/train.py', path, '--auto-scale-lr', '--work-dir', tmp_path)

    def test_exception_out_suffix(self, tmp_path: Path, call: RunTool) -> None:
        (tmp_path / 'x.pth').touch()
        with pytest.raises(ValueError, match=r'expected a \.pkl file'):
            call(
                'tools/test.py', PLAIN, tmp_path / 'x.pth', '--out', 'predictions.json'
            )


def test_feature_print_config(
    tmp_path: Path, call: RunTool, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--step 1` prints an ordinary config with the classes of step 1."""
    path = tmp_path / 'step.py'
    options = flags({'train_cfg.max_epochs': 7})
    call(
        'tools/misc/print_config.py', STREAM, '--step', 1, '--save-path', path, *options
    )
    printed = capsys.readouterr().out
    assert 'num_classes=6' in printed
    assert '\nstream = ' not in printed
    saved = load_config(path)
    assert saved.train_cfg.max_epochs == 7
    assert len(saved.train_dataloader.dataset.keep_classes) == 3
    call('tools/misc/print_config.py', STREAM)
    assert '\nstream = ' in capsys.readouterr().out


def test_feature_get_flops(call: RunTool, capsys: pytest.CaptureFixture[str]) -> None:
    """Parameters grow with the classes of a step, FLOPs with the image."""
    found = {}
    for step, size in ((0, 64), (1, 64), (1, 128)):
        args = ('--step', step, '--shape', size, size)
        call('tools/analysis_tools/get_flops.py', STREAM, *args)
        text = capsys.readouterr().out
        assert f'input      3 x {size} x {size}' in text
        parameters = int(re.search(r'\(([\d,]+)\)', text)[1].replace(',', ''))
        number, unit = re.search(r'FLOPs +([\d.]+)([MG])', text).groups()
        flops = float(number) * {'M': 1e6, 'G': 1e9}[unit]
        found[step, size] = parameters, flops
    # Three more classes: 64 x 3 x 3 weights and a bias each.
    assert found[1, 64][0] - found[0, 64][0] == 3 * (64 * 9 + 1)
    assert found[1, 128][0] == found[1, 64][0]
    assert found[1, 128][1] == pytest.approx(4 * found[1, 64][1], rel=0.01)
