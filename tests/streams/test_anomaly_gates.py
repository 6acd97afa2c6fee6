"""The toy stream as a user runs it, but shorter: fine-tuning forgets, IUF keeps.

Slow: two streams of three steps are trained.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from mmdefect.functional.forgetting import forgetting_measure, last_mean
from mmdefect.streams.matrix import StreamMatrix
from mmdefect.testing import make_toy_products
from mmdefect.utils.checkpoint import load_weights
from tests.helpers.tool_runs import run_script

FINETUNE = 'configs/anomaly_stream/finetune_toy_3-1x2.py'
IUF = 'configs/iuf/iuf_toy_3-1x2.py'
EPOCHS = 20  # of the presets' 60: what is asserted holds by far


pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def streams(warm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Fine-tuning, and IUF from the same base model."""
    root = tmp_path_factory.mktemp('toy')
    data = root / 'products'
    make_toy_products(data, seed=0)
    options = [
        *(f'stream.{k}.train_cfg.max_epochs={EPOCHS}' for k in ('base', 'increment')),
        *(f'{k}_dataloader.dataset.data_root={data}/' for k in ('train', 'test')),
    ]
    found = {'finetune': root / 'finetune', 'iuf': root / 'iuf'}
    start = f'stream.start_from={found["finetune"]}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FIGURES', 'real')
        for config, work_dir, *more in (
            (FINETUNE, found['finetune']),
            (IUF, found['iuf'], start),
        ):
            args = (config, 1, '--work-dir', work_dir, '--cfg-options', *options, *more)
            run_script('tools/dist_train.sh', *args, programs=warm)
    return found


def test_feature_iuf_forgets_at_most_half(streams: dict[str, Path]) -> None:
    iuf, finetune = (
        StreamMatrix.load(streams[name] / 'matrix.json') for name in ('iuf', 'finetune')
    )
    kept, lost = (matrix.tensor('image_auroc') for matrix in (iuf, finetune))
    assert forgetting_measure(lost) >= 0.05
    assert forgetting_measure(kept) <= forgetting_measure(lost) / 2
    assert last_mean(kept) > last_mean(lost)
    scores = iuf.scores(2, 'image_auroc')  # every product is inspected
    assert len(scores) == 5
    assert min(scores.values()) > 0.6


def test_feature_report_has_numbers_matrix_and_maps(streams: dict[str, Path]) -> None:
    report = streams['iuf'] / 'report'
    text = (report / 'report.md').read_text(encoding='utf-8')
    for name in (
        'ACC, mean over steps (IUF)',
        "Stage drop (IUF's FM)",
        'Forgetting measure (Chaudhry 2018)',
        'Mean after the last step',
        'heat_map.png',
        'maps_0_0.png',
    ):
        assert name in text
    assert (report / 'index.html').stat().st_size > 100_000
    with Image.open(report / 'maps_0_0.png') as picture:
        assert picture.width > picture.height
    for step in range(3):
        assert list((streams['iuf'] / f'step_{step}' / 'maps').glob('*.png')) or (
            step == 0
        )


def test_feature_checkpoint_holds_constant_statistics(streams: dict[str, Path]) -> None:
    sizes = []
    for step in (1, 2):
        checkpoint = load_weights(streams['iuf'] / f'step_{step}/epoch_{EPOCHS}.pth')
        grams = checkpoint['feature_statistics']['grams'].values()
        sizes.append(sum(gram.numel() * gram.element_size() for gram in grams))
        assert checkpoint['feature_statistics']['images'] == 24 * (3 + step)
    assert sizes[0] == sizes[1] == 4 * 64 * 64 * 8
