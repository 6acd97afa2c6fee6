"""docs/guides/add_a_class.md, followed to the letter on toy images."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mmdefect.datasets.boxes.memory_file import read_memory
from mmdefect.utils.checkpoint import load_weights
from tests.conftest import REPO, tool_env

GUIDE = REPO / 'docs/guides/add_a_class.md'
CLASSES = ['scratch', 'dent', 'rust']
COLOURS = {'scratch': (230, 60, 60), 'dent': (60, 230, 60), 'rust': (60, 60, 230)}
SIZE = 64
MMCV = Path(find_spec('mmcv').origin).parent
COMPILED = any(MMCV.glob('_ext*.so'))
# What the user runs, but for the size; it knows nothing of mmdefect.
USER_CONFIG = f"""
_base_ = 'mmdet::gfl/gfl_r50_fpn_1x_coco.py'
model = dict(
    backbone=dict(depth=18, base_channels=8, init_cfg=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=64),
    bbox_head=dict(num_classes=2, in_channels=64, feat_channels=64, stacked_convs=1))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=({SIZE}, {SIZE}), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=({SIZE}, {SIZE}), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
parts = dict(
    data_root='my_line/parts/',
    data_prefix=dict(img='images/'),
    metainfo=dict(classes=('scratch', 'dent')))
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file='train.json', pipeline=train_pipeline, **parts))
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(ann_file='test.json', pipeline=test_pipeline, **parts))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file='my_line/parts/test.json')
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1)
param_scheduler = [dict(type='MultiStepLR', milestones=[8, 11])]
"""


def blocks(language: str) -> list[str]:
    """Code blocks of the guide; its 12 epochs are one here."""
    text = GUIDE.read_text(encoding='utf-8').replace('epoch_12.pth', 'epoch_1.pth')
    return re.findall(rf'```{language}\n(.*?)```', text, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = ''.join(blocks('shell')).replace('\\\n', ' ').splitlines()
    return [shlex.split(line) for line in lines]


def draw(folder: Path, files: dict[str, list[list[str]]], order: list[str]) -> None:
    """Coloured squares, and a COCO file for each list of images.

    Args:
        folder: Gets ``images`` and the files.
        files: File name -> for each image the classes that it shows, in lower case, or
            in upper case when they are not labelled.
        order: Categories of the files.
    """
    (folder / 'images').mkdir(parents=True)
    rng = np.random.default_rng(0)
    number = 0
    for name, shown_in in files.items():
        images, annotations = [], []
        for shown in shown_in:
            number += 1
            pixels = rng.integers(100, 120, (SIZE, SIZE, 3)).astype(np.uint8)
            file_name = f'{number}.png'
            images.append(dict(id=number, file_name=file_name, width=SIZE, height=SIZE))
            for k, label in enumerate(shown):
                x, y = (k % 2 * 30 + int(v) for v in rng.integers(1, 10, 2))
                pixels[y : y + 20, x : x + 20] = COLOURS[label.lower()]
                if label.islower():
                    annotation = dict(
                        id=len(annotations) + 1,
                        image_id=number,
                        category_id=order.index(label) + 1,
                        bbox=[x, y, 20, 20],
                        area=400,
                        iscrowd=0,
                    )
                    annotations.append(annotation)
            Image.fromarray(pixels).save(folder / 'images' / file_name)
        content = dict(
            images=images,
            annotations=annotations,
            categories=[dict(id=k, name=n) for k, n in enumerate(order, 1)],
        )
        (folder / name).write_text(json.dumps(content), encoding='utf-8')


@pytest.fixture(scope='module')
def clone(warm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a clone, with what the guide's reader has: data and a detector.

    The detector is trained for an epoch by mmdet's own tool, with mmdet's own types.
    """
    clone = tmp_path_factory.mktemp('clone')
    (clone / 'tools').symlink_to(REPO / 'tools')
    old = {'train.json': [['scratch', 'dent']] * 8, 'test.json': [['dent']] * 2}
    draw(clone / 'my_line/parts', old, CLASSES[:2])
    few = {'train.json': [['scratch'], ['dent']] * 12}
    draw(clone / 'my_line/old', few, ['dent', 'scratch'])
    new = {
        'train.json': [['rust', 'SCRATCH']] * 5 + [['rust', 'dent']] * 5,
        'test.json': [['rust', 'scratch'], ['dent'], ['rust', 'dent']],
    }
    draw(clone / 'my_line/rust', new, sorted(CLASSES))
    config = clone / 'my_line/my_gfl_config.py'
    config.write_text(USER_CONFIG, encoding='utf-8')
    tool = Path(find_spec('mmdet').origin).parent / '.mim/tools/train.py'
    # On an mmcv without operators, too.
    code = f"import mmdefect, runpy; runpy.run_path('{tool}', run_name='__main__')"
    done = python(warm, clone, code, str(config), '--work-dir', 'work_dirs/stock')
    assert done.returncode == 0, done.stderr[-3000:]
    (clone / 'work_dirs/stock/epoch_1.pth').rename(clone / 'my_line/running.pth')
    return clone


def python(
    programs: Path, folder: Path, code: str, *args: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which has imported nothing of OpenMMLab."""
    script = folder / 'run.py'
    script.write_text(code, encoding='utf-8')
    return subprocess.run(
        [programs / 'python', script, *args],
        cwd=folder,
        env=tool_env(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def exit_code_of(script: str) -> object:
    try:
        runpy.run_path(str(REPO / script), run_name='__main__')
    except SystemExit as end:
        return end.code
    return 0


@pytest.fixture(scope='module')
def followed(clone: Path) -> Path:
    """The same folder after all that the guide says."""
    for block in blocks('python'):
        if match := re.match(r'# (my_line/\w+\.py)\n', block):
            (clone / match[1]).write_text(block, encoding='utf-8')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(clone)
        patch.setenv('LOCAL_RANK', '0')  # tools/train.py sets it for good
        for python, script, *args in commands():
            assert python == 'python'
            patch.setattr(sys, 'argv', [script, *args])
            assert not exit_code_of(script), script
    return clone


def published(clone: Path) -> Path:
    (path,) = (clone / 'my_line').glob('knows_rust-*.pth')
    return path


def test_feature_five_commands_at_most() -> None:
    assert 0 < len(commands()) <= 5
    for _, script, *_ in commands():
        assert (REPO / script).is_file()


@pytest.mark.slow
class TestGuide:
    def test_smoke_matrix(self, followed: Path) -> None:
        """Old classes are scored before and after, the new one after."""
        matrix = json.loads(
            (followed / 'work_dirs/add_rust/matrix.json').read_text(encoding='utf-8')
        )
        before, after = matrix['steps']
        assert list(before['per_class']['AP50']) == CLASSES[:2]
        assert list(after['per_class']['AP50']) == CLASSES
        report = followed / 'work_dirs/add_rust/report'
        words = (report / 'report.md').read_text(encoding='utf-8')
        for word in ('AP50 old', 'Old kept', 'AP50 new', 'Class by class'):
            assert word in words, word
        assert 'no sample predictions' not in words
        assert (report / 'index.html').is_file()

    def test_feature_teacher_is_the_running_detector(self, followed: Path) -> None:
        state = json.loads(
            (followed / 'work_dirs/add_rust/stream.json').read_text(encoding='utf-8')
        )
        assert state['steps'][0]['reused_from'] == 'my_line/running.pth'
        (log,) = followed.glob('work_dirs/add_rust/step_1/*/vis_data/scalars.json')
        first = json.loads(log.read_text(encoding='utf-8').splitlines()[0])
        assert 'loss_dist_cls' in first

    def test_feature_old_images_are_kept(self, followed: Path) -> None:
        """Ten of each kind beside rust; those of all three for the next class."""
        for step, classes in ((0, CLASSES[:2]), (1, CLASSES)):
            folder = followed / f'work_dirs/add_rust/step_{step}/memory'
            memory = read_memory(folder, classes)
            kept = [image.kept_for for image in memory.images]
            assert Counter(kept) == dict.fromkeys(classes, 10)

    def test_feature_rows(self, followed: Path) -> None:
        """Rust comes last; the old rows are where they were, and moved little."""
        old = load_weights(followed / 'my_line/running.pth')
        new = load_weights(published(followed))
        assert list(new['meta']['dataset_meta']['classes']) == CLASSES
        rows = [c['state_dict']['bbox_head.gfl_cls.weight'] for c in (old, new)]
        before, after = (w.flatten(1) for w in rows)
        distance = torch.cdist(after, before)
        assert distance[:2].argmin(dim=1).tolist() == [0, 1]
        assert torch.all(distance[:2].amin(dim=1) < 0.1 * distance[2].min())
        bias = new['state_dict']['bbox_head.gfl_cls.bias']
        assert bias[2] != pytest.approx(-np.log(99), abs=1e-6)  # it has learned

    def test_feature_loads_in_stock_mmdet(self, followed: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(followed)
            cfg = Config.fromfile('my_line/knows_rust.py')
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build(cfg.model)
        assert type(model).__module__.startswith('mmdet.')
        assert type(model.bbox_head).__module__.startswith('mmdet.')
        state = load_weights(published(followed))['state_dict']
        model.load_state_dict(state, strict=True)

    def test_feature_inference(self, warm: Path, followed: Path) -> None:
        """The guide's last lines, with the digits that were printed."""
        (code,) = (b for b in blocks('python') if 'DetInferencer' in b)
        code = code.replace('knows_rust-01234567.pth', published(followed).name)
        say = 'import json; labels = found["predictions"][0]["labels"]; '
        say += 'print(json.dumps([detector.model.dataset_meta["classes"], labels]))'
        done = python(warm, followed, f'{code}{say}')
        assert done.returncode == 0, done.stderr[-3000:]
        classes, labels = json.loads(done.stdout.splitlines()[-1])
        assert list(classes) == CLASSES
        assert set(labels) <= {0, 1, 2}

    @pytest.mark.skipif(COMPILED, reason='mmcv has its compiled operators')
    def test_feature_inference_needs_the_stand_in(
        self, warm: Path, followed: Path
    ) -> None:
        """What the guide says of an mmcv without operators."""
        (code,) = (b for b in blocks('python') if 'DetInferencer' in b)
        code = code.replace('knows_rust-01234567.pth', published(followed).name)
        line = re.search(r'^import mmdefect.*\n', code, flags=re.MULTILINE)
        done = python(warm, followed, code.replace(line[0], ''))
        assert done.returncode != 0
        assert "No module named 'mmcv._ext'" in done.stderr
