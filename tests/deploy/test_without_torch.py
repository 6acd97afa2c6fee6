"""A package decides in a process that has neither torch nor OpenMMLab.

The process cannot find them, as in an environment that lacks them; one that is made
without them takes too long to install for a test.
"""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import run
from sys import executable

import cv2
import numpy as np

from tests.conftest import tool_env
from tests.helpers.hand_package import hand_package

#: Makes these unknown to the process.
HIDDEN = """
import sys
from importlib.machinery import PathFinder

HIDDEN = {'torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'mmpretrain'}

class Finder(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition('.')[0] in HIDDEN:
            return None
        return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""
PREDICT = """
import json
from mmdefect.apis import DefectInferencer

inspect = DefectInferencer(sys.argv[1])
found = [r.to_dict() for r in inspect(sys.argv[2])]
assert not HIDDEN & {name.partition('.')[0] for name in sys.modules}
print(json.dumps(found))
"""


def predict_without_torch(package: Path, images: Path) -> list[dict]:
    """Results of a folder of images, in a process that cannot import torch."""
    done = run(
        [executable, '-c', HIDDEN + PREDICT, str(package), str(images)],
        env=tool_env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_feature_predicts(tmp_path: Path) -> None:
    hand_package(tmp_path / 'p', 'labels', defective='red', thresholds={'red': 0.5})
    images = tmp_path / 'images'
    images.mkdir()
    for name, colour in (('a', (0, 0, 255)), ('b', (255, 0, 0))):
        pixels = np.full((9, 12, 3), colour, np.uint8)
        assert cv2.imwrite(str(images / f'{name}.png'), pixels)
    (images / 'c.png').write_bytes(b'broken')
    red, blue, broken = predict_without_torch(tmp_path / 'p', images)
    assert (red['decision'], blue['decision']) == ('defective', 'ok')
    assert broken['error']
