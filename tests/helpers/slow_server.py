"""A server that says when it looks, and takes its time; the packages are arguments."""

from __future__ import annotations

import sys
import time

import numpy as np
from served import ShadeBackend

from mmdefect.deploy.outputs import Output
from mmdefect.serving.server import run


class Slow(ShadeBackend):
    """Half a second for an image, not for the one that it is tried with."""

    def __call__(self, images: list[np.ndarray]) -> list[Output]:
        if images[0].any():
            print('looking', flush=True)
            time.sleep(0.5)
        return super().__call__(images)


code = run(sys.argv[1:], port=0, open_model=Slow)
print('loaded', sorted({'torch', 'mmcv', 'mmdet', 'mmpretrain'} & set(sys.modules)))
raise SystemExit(code)
