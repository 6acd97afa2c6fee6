"""tools/train.py and tools/test.py as a user starts them, on toy images.

Slow are those that need a process of their own, two at once, or a training.
"""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmdefect.apis import load_config
from mmdefect.streams.state import StreamState
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO, run_tool, tool_env, toy_options
from tests.helpers.tool_runs import flags, run_here, run_script, scores_in

PLAIN = REPO / 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
STREAM = REPO / 'configs/gfl_stream/finetune_r18_fpn_toy_neu-det_3+3.py'
EPOCH = {
    'train_cfg.max_epochs': 1,
    'train_dataloader.batch_size': 6,
    'default_hooks.logger.interval': 1,
}


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
def trained(
    toy_neu_det: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The checkpoint of one epoch in two processes, and what they printed."""
    work_dir = tmp_path_factory.mktemp('trained')
    options = {**toy_options(toy_neu_det), **EPOCH}
    args = (PLAIN, 2, '--work-dir', work_dir, *flags(options))
    return work_dir / 'epoch_1.pth', run_script('tools/dist_train.sh', *args)


@pytest.fixture(scope='module')
def tested(trained: tuple[Path, str], odd_options: dict, tmp_path_factory) -> Path:
    """Work dir of a test in one process, with predictions written and drawn."""
    work_dir = tmp_path_factory.mktemp('tested')
    args = ['--work-dir', work_dir, '--out', work_dir / 'preds.pkl']
    args += ['--show-dir', work_dir / 'drawn', *flags(odd_options)]
    printed = run_here('tools/test.py', PLAIN, trained[0], *args)
    assert f'11 pictures in {work_dir / "drawn"}\n' in printed
    return work_dir


def check_console(printed: str, work_dir: Path) -> None:
    """A screen before the first loss; the log file holds the rest."""
    lines = printed.splitlines()
    first = next(i for i, line in enumerate(lines) if ' loss: ' in line)
    assert first < 40, '\n'.join(lines[:first])
    assert not any('OneDL' in line for line in lines)
    log = min(work_dir.rglob('*.log'))  # that of a test may follow
    assert sum(line.endswith(f'and hooks: {log}') for line in lines) == 1
    text = log.read_text(encoding='utf-8')
    (dumped,) = log.parent.glob('vis_data/config.py')
    assert dumped.read_text(encoding='utf-8').strip() in text
    assert 'System environment:' in text
    assert 'Hooks will be executed in the following order' in text


@pytest.mark.slow
class TestPlainConfig:
    """A config without a stream is an ordinary OpenMMLab config."""

    def test_feature_dist_train(self, trained: tuple[Path, str]) -> None:
        """Two gloo processes share the images: 48 in 4 iterations of 2 x 6."""
        path, printed = trained
        loaded = load_weights(path)
        assert loaded['meta']['iter'] == 4
        assert loaded['state_dict']['bbox_head.gfl_cls.weight'].shape[0] == 6
        assert not any(key.startswith('module.') for key in loaded['state_dict'])
        assert 'stream' not in loaded['meta']
        assert not (path.parent / 'stream.json').exists()
        check_console(printed, path.parent)

    def test_feature_dist_test_equals_one_process(
        self,
        warm: Path,
        trained: tuple[Path, str],
        tested: Path,
        odd_options: dict,
        tmp_path: Path,
    ) -> None:
        args = (PLAIN, trained[0], 2, '--work-dir', tmp_path, *flags(odd_options))
        run_script('tools/dist_test.sh', *args, programs=warm)
        one, two = scores_in(tested), scores_in(tmp_path)
        names = [name for name in one if name.startswith('coco/')]
        assert len(names) > 15
        assert one['coco/bbox_mAP'] > 0
        for name in names:
            assert two[name] == pytest.approx(one[name], abs=1e-9, nan_ok=True), name

    def test_feature_out_and_show_dir(self, tested: Path) -> None:
        predictions = pickle.loads((tested / 'preds.pkl').read_bytes())
        assert len({sample['img_id'] for sample in predictions}) == 11
        assert all(len(p['pred_instances']['scores']) > 10 for p in predictions)
        assert len(list((tested / 'drawn/IMAGES').glob('*.*'))) == 11

    def test_feature_tta(
        self, trained: tuple[Path, str], tested: Path, odd_options: dict, tmp_path: Path
    ) -> None:
        args = ('--work-dir', tmp_path, '--tta', *flags(odd_options))
        run_here('tools/test.py', PLAIN, trained[0], *args)
        flipped, plain = scores_in(tmp_path), scores_in(tested)
        assert flipped['coco/bbox_mAP'] > 0
        assert flipped['coco/bbox_mAP'] != plain['coco/bbox_mAP']

    def test_feature_amp_and_auto_scale_lr(
        self, toy_neu_det: Path, tmp_path: Path
    ) -> None:
        """bfloat16 on CPU, and a learning rate for 6 images instead of 16."""
        options = {**toy_options(toy_neu_det), **EPOCH}
        args = ('--work-dir', tmp_path, '--amp', '--auto-scale-lr', *flags(options))
        run_here('tools/train.py', PLAIN, *args)
        dumped = (tmp_path / PLAIN.name).read_text(encoding='utf-8')
        assert "type='mmdefect.CPUAmpOptimWrapper'" in dumped
        optimizer = load_weights(tmp_path / 'epoch_1.pth')['optimizer']
        for group in optimizer['param_groups']:
            assert group['initial_lr'] == pytest.approx(0.002 * 6 / 12)
        (log,) = tmp_path.glob('2*/vis_data/scalars.json')
        rows = map(json.loads, log.read_text(encoding='utf-8').splitlines())
        losses = [row['loss'] for row in rows if 'loss' in row]
        assert len(losses) == 8
        assert all(0 < loss < 100 for loss in losses)


@pytest.mark.slow
def test_feature_one_step_of_a_stream(
    warm: Path, toy_neu_det: Path, tmp_path: Path
) -> None:
    """`--step 0` trains step 0 only; a work dir is tested with `--step`, `--tta`."""
    work_dir = tmp_path / 'work'
    options = flags({**toy_options(toy_neu_det), **EPOCH})
    args = (STREAM, '--work-dir', work_dir, '--step', 0, *options)
    printed = run_tool('tools/train.py', *args, programs=warm).stdout
    check_console(printed, work_dir)
    state = StreamState.load(work_dir)
    assert [step.state for step in state.steps] == ['finished', 'pending']
    assert not (work_dir / 'step_1').exists()
    args = [STREAM, work_dir, '--step', 0, '--tta', '--work-dir', tmp_path / 'test']
    args += ['--out', tmp_path / 'preds.pkl', '--show-dir', tmp_path / 'drawn']
    run_here('tools/test.py', *args, *options)
    assert len(pickle.loads((tmp_path / 'preds.pkl').read_bytes())) == 12
    assert len(list((tmp_path / 'drawn/step_0/IMAGES').iterdir())) == 12
    rows = json.loads((work_dir / 'matrix.json').read_text(encoding='utf-8'))['steps']
    assert [row['step'] for row in rows] == [0]


HOLDS = """
import sys, time
from pathlib import Path
from mmdefect.utils.files import claim
claim(Path(sys.argv[1]))
print('claimed', flush=True)
time.sleep(60)
"""


class TestErrors:
    """One sentence each, before anything is built."""

    @pytest.mark.parametrize(
        ('tool', 'args', 'message'),
        [
            ('train', ['none.py'], r'none\.py.*expected a config file'),
            ('test', ['none.py', 'x.pth'], r'none\.py.*expected a config file'),
            ('test', [PLAIN, 'none.pth'], r'none\.pth does not exist: expected a ch'),
            ('train', [PLAIN, '--step', 1], '--step 1: expected a config with a strea'),
            ('test', [PLAIN, PLAIN, '--step', 1], '--step 1: expected a config with'),
            ('train', [PLAIN, '--resume', 'none.pth'], r'--resume none\.pth: expected'),
            (
                'train',
                [STREAM, '--resume', 'none.pth'],
                r'--resume none\.pth: expected',
            ),
            ('test', [PLAIN, PLAIN, '--out', 'x.json'], r'out=.x\.json.*\.pkl'),
        ],
    )
    def test_exception(self, tool: str, args: list, message: str) -> None:
        with pytest.raises(SystemExit, match=f'^error: .*{message}'):
            run_here(f'tools/{tool}.py', *args)

    def test_exception_auto_scale_lr(self, tmp_path: Path) -> None:
        path = tmp_path / 'mine.py'
        text = f'_base_ = {str(PLAIN)!r}\nauto_scale_lr = None\n'
        path.write_text(text, encoding='utf-8')
        message = r'^error: --auto-scale-lr: expected auto_scale_lr=dict\(enable=False'
        with pytest.raises(SystemExit, match=message):
            run_here('tools/train.py', path, '--auto-scale-lr')

    def test_exception_a_work_dir_in_use(self, tmp_path: Path) -> None:
        """By another process, until it is dead, however it died."""
        command = [sys.executable, '-c', HOLDS, str(tmp_path)]
        args = ('tools/train.py', PLAIN, '--work-dir', tmp_path, '--launcher', 'slurm')
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=tool_env()) as other:
            assert other.stdout.readline() == b'claimed\n'
            message = rf'^error: \S+ is in use by process {other.pid} on \S+: expected'
            with pytest.raises(SystemExit, match=message):
                run_here(*args)
            other.kill()
        with pytest.raises(SystemExit, match="launcher='slurm': expected a GPU"):
            run_here(*args)

    def test_exception_a_work_dir_that_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / 'file').touch()
        message = r'^error: \S+/file/work: Not a directory; expected a place that can'
        with pytest.raises(SystemExit, match=message):
            run_here('tools/train.py', PLAIN, '--work-dir', tmp_path / 'file/work')


def test_feature_print_config(tmp_path: Path) -> None:
    """`--step 1` prints an ordinary config with the classes of step 1."""
    path = tmp_path / 'step.py'
    args = (STREAM, '--step', 1, '--save-path', path)
    options = flags({'train_cfg.max_epochs': 7})
    printed = run_here('tools/misc/print_config.py', *args, *options)
    assert 'num_classes=6' in printed
    assert '\nstream = ' not in printed
    saved = load_config(path)
    assert saved.train_cfg.max_epochs == 7
    assert len(saved.train_dataloader.dataset.keep_classes) == 3


def test_feature_get_flops() -> None:
    """Parameters grow with the classes of a step, FLOPs with the image."""
    found = {}
    for step, size in ((0, 64), (1, 64), (1, 128)):
        args = ('--step', step, '--shape', size, size)
        text = run_here('tools/analysis_tools/get_flops.py', STREAM, *args)
        assert f'input      3 x {size} x {size}' in text
        parameters = int(re.search(r'\(([\d,]+)\)', text)[1].replace(',', ''))
        number, unit = re.search(r'FLOPs +([\d.]+)([MG])', text).groups()
        flops = float(number) * {'M': 1e6, 'G': 1e9}[unit]
        found[step, size] = parameters, flops
    # Three more classes: 64 x 3 x 3 weights and a bias each.
    assert found[1, 64][0] - found[0, 64][0] == 3 * (64 * 9 + 1)
    assert found[1, 128][0] == found[1, 64][0]
    assert found[1, 128][1] == pytest.approx(4 * found[1, 64][1], rel=0.01)
