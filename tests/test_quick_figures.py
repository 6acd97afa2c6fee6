"""What a warm Python saves is a blank picture, unless a test wants to look at it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import warm_python

DRAWS = """\
from matplotlib.figure import Figure
figure = Figure(figsize=(2, 1))
figure.subplots().plot([1, 2])
figure.savefig('drawn.png')
figure.savefig('drawn.svg')
"""


@pytest.mark.parametrize('real', [False, True])
def test_feature_drawn_if_asked_for(real: bool, tmp_path: Path) -> None:
    (tmp_path / 'draws.py').write_text(DRAWS, encoding='utf-8')
    (tmp_path / 'warm').mkdir()
    env = {**os.environ, **({'FIGURES': 'real'} if real else {})}
    with warm_python.start(tmp_path / 'warm', ['quick_figures']) as programs:
        subprocess.run(
            [programs / 'python', 'draws.py'], cwd=tmp_path, env=env, check=True
        )
    assert (np.ptp(np.asarray(Image.open(tmp_path / 'drawn.png'))) > 0) == real
    assert '<path' in (tmp_path / 'drawn.svg').read_text(encoding='utf-8')
