"""Anomaly metric: both modes, and what is undefined."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from mmengine.evaluator import Evaluator

from mmdefect.evaluation.anomaly_metric import AnomalyMetric
from mmdefect.functional.ranking import aupro, auroc, average_precision, f1_max
from mmdefect.registry import METRICS
from mmdefect.structures import AnomalySample
from tests.conftest import REPO, tool_env
from tests.helpers.metric_run import make_samples, score

MODES = ['exact', 'streaming']
NO_IMAGE = 'metrics (it has no test image)'
both_modes = pytest.mark.parametrize('mode', MODES)


def sample(product, label, pred_score, pixels=None, mask=None):
    """As the evaluator hands it to a metric; maps as nested lists."""
    pixels = torch.tensor([[pred_score]] if pixels is None else pixels)
    found = {
        'img_path': f'{product}.png',
        'class_name': product,
        'gt_label': torch.tensor(label),
        'pred_score': torch.tensor(pred_score),
        'pred_map': pixels,
    }
    if mask is not None:
        found['gt_mask'] = torch.tensor(mask, dtype=torch.bool)
    return found


def row(product, label, pred_score, pixels, mask):
    """An image one pixel high."""
    return sample(product, label, pred_score, [pixels], [mask])


BOTTLES = [
    row('bottle', 0, 0.25, [0.25, 0.5, 0.25, 0.125], [0, 0, 0, 0]),
    row('bottle', 0, 0.5, [0.0, 0.5, 0.25, 0.125], [0, 0, 0, 0]),
    row('bottle', 1, 0.5, [0.75, 0.5, 0.25, 0.125], [1, 1, 0, 0]),
    row('bottle', 1, 1.0, [0.25, 0.25, 1.0, 0.125], [0, 0, 1, 0]),
]
CABLES = [
    row('cable', 1, 0.25, [0.5, 0.25], [0, 1]),
    row('cable', 0, 0.75, [0.5, 0.75], [0, 0]),
]
# By hand. Images of bottle: 0.5 and 1 against 0.25 and 0.5, 3.5 of 4 pairs won.
# Pixels: 0.75, 1 win against all 13 normal ones, 0.5 against 11, with 2 ties.
# Regions: {0.75, 0.5} and {1}: 3/4 before any normal pixel; 1 after two, and the limit
# is 0.3 * 13 = 3.9 of them: (0.75 * 2 + 0.25 * 2 / 2 + 1 * 1.9) / 3.9.
GOLDEN = {
    'anomaly/image_auroc/bottle': 3.5 / 4,
    'anomaly/image_auroc/cable': 0.0,
    'anomaly/image_f1max/bottle': 0.8,
    'anomaly/image_f1max/cable': 2 / 3,
    'anomaly/pixel_auroc/bottle': (13 + 13 + 12) / 39,
    'anomaly/pixel_auroc/cable': 0.0,
    'anomaly/pixel_ap/bottle': (1 + 1 + 3 / 5) / 3,
    'anomaly/pixel_ap/cable': 0.25,
    'anomaly/pixel_f1max/bottle': 0.8,
    'anomaly/pixel_f1max/cable': 0.4,
    'anomaly/aupro/bottle': (0.75 * 2 + 0.25 + 1.9) / 3.9,
    'anomaly/aupro/cable': 0.0,
}


# Good bottles score 0.25 and 0.5: linear between them.
GOOD_BOTTLES = {'score_q50': 0.375, 'score_q95': 0.4875, 'score_q99': 0.4975}
GOOD_BOTTLES |= {'score_max': 0.5, 'good_images': 2, 'defective_images': 2}


def made(classes=('bottle', 'cable'), **kwargs) -> AnomalyMetric:
    metric = AnomalyMetric(**kwargs)
    metric.dataset_meta = {'classes': classes}
    return metric


def evaluate(samples, **kwargs):
    metric = made(**kwargs)
    for entry in samples:
        metric.process({}, [entry])
    return metric.evaluate(len(samples))


@both_modes
def test_smoke(mode) -> None:
    found = evaluate([*BOTTLES, *CABLES], mode=mode, old_classes=['bottle'])
    means = {}
    for name in {key.split('/')[1] for key in GOLDEN}:
        old, new = (GOLDEN[f'anomaly/{name}/{c}'] for c in ('bottle', 'cable'))
        means |= {f'anomaly/{name}_old': old, f'anomaly/{name}_new': new}
        means[f'anomaly/{name}_all'] = (old + new) / 2
    scores = {f'anomaly/{name}/bottle': value for name, value in GOOD_BOTTLES.items()}
    cable = dict.fromkeys(GOOD_BOTTLES, 0.75)
    cable |= {'good_images': 1, 'defective_images': 1}
    scores |= {f'anomaly/{name}/cable': value for name, value in cable.items()}
    assert found == pytest.approx(GOLDEN | means | scores, abs=1e-12)
    assert {type(value) for value in found.values()} == {float}


def test_smoke_built_by_name_and_fed_by_the_evaluator() -> None:
    """Samples turn into dicts there, with their metainfo."""
    evaluator = Evaluator(dict(type='mmdefect.AnomalyMetric', mode='streaming'))
    evaluator.dataset_meta = {'classes': ('bottle', 'cable')}
    samples = []
    for entry in BOTTLES:
        fields = dict(entry)
        meta = {key: fields.pop(key) for key in ('img_path', 'class_name')}
        samples.append(AnomalySample(metainfo=meta, **fields))
    evaluator.process(samples)
    found = evaluator.evaluate(4)
    assert found['anomaly/aupro/bottle'] == pytest.approx(3.65 / 3.9)
    assert METRICS.get('AnomalyMetric') is AnomalyMetric


@both_modes
def test_feature_maps_are_resized_to_the_mask(mode) -> None:
    """With corners aligned 0, 1 becomes 0, 1/3, 2/3, 1; else 0, 1/4, 3/4, 1."""
    samples = [
        sample('bottle', 0, 0.0, [[0.7, 0.7]], [[0] * 4]),
        sample('bottle', 1, 1.0, [[0.0, 1.0]], [[0, 0, 1, 1]]),
    ]
    found = evaluate(samples, mode=mode)
    # 2/3 loses to the four normal pixels of 0.7 and wins against two.
    assert found['anomaly/pixel_auroc/bottle'] == pytest.approx((6 + 2) / 12)
    found = evaluate(samples, mode=mode, align_corners=False)
    assert found['anomaly/pixel_auroc/bottle'] == 1


def test_feature_exact_equals_the_functions() -> None:
    """Images of one size: what the functions say of all of them."""
    samples = [s for s in make_samples(40) if s['class_name'] == 'cable']
    samples = [s for s in samples if s['gt_mask'].shape == (24, 20)]
    for entry in samples:
        entry['pred_map'] = torch.rand(24, 20)
    maps = torch.stack([s['pred_map'] for s in samples])
    masks = torch.stack([s['gt_mask'] for s in samples])
    regions = masks.int()
    regions[:, 11:] *= 2  # the second block of each image
    found = evaluate(samples, fpr_limit=0.1)
    flat = maps.flatten(), masks.flatten()
    assert found['anomaly/pixel_auroc/cable'] == auroc(*flat).item()
    assert found['anomaly/pixel_ap/cable'] == average_precision(*flat).item()
    assert found['anomaly/pixel_f1max/cable'] == f1_max(*flat).item()
    expected = aupro(maps, regions, 0.1).item()
    assert found['anomaly/aupro/cable'] == pytest.approx(expected, abs=1e-12)
    assert 0 < expected < 1


def test_feature_streaming_is_close_and_rounded() -> None:
    """Images exactly; pixels as their float16 scores."""
    samples = make_samples()
    exact, streaming = (score(mode, samples, len(samples)) for mode in MODES)
    assert exact.keys() == streaming.keys()
    assert exact == pytest.approx(streaming, abs=2e-3, nan_ok=True)
    assert exact['anomaly/image_auroc_all'] == streaming['anomaly/image_auroc_all']
    name = 'anomaly/pixel_auroc/cable'
    assert exact[name] != streaming[name]


@pytest.mark.parametrize('scale', [1e6, 1e-9])
def test_feature_streaming_says_what_it_cannot_rank(scale, warnings) -> None:
    samples = [
        row('bottle', 0, 0.1, [scale, scale], [0, 0]),
        row('bottle', 1, 0.9, [scale, 5 * scale], [0, 1]),
    ]
    assert evaluate(samples)['anomaly/pixel_auroc/bottle'] == 1
    assert not [text for text in warnings() if 'float16' in text]
    evaluate(samples, mode='streaming')
    assert [text for text in warnings() if "use mode='exact'" in text]


def test_feature_streaming_forgets_order_and_batches() -> None:
    samples = make_samples()
    order = torch.randperm(len(samples)).tolist()
    shuffled = [samples[k] for k in order]
    one = score('streaming', samples, len(samples), batch=1)
    assert_same(one, score('streaming', shuffled, len(samples), batch=5))


def assert_same(one, other) -> None:
    """Bit for bit, NaN included."""
    assert one.keys() == other.keys()
    assert {k: v.hex() for k, v in one.items()} == {
        k: v.hex() for k, v in other.items()
    }


@both_modes
def test_feature_a_second_evaluation_starts_anew(mode) -> None:
    metric = made(mode=mode)
    reversed_maps = [{**s, 'pred_map': 1 - s['pred_map']} for s in BOTTLES]
    for good in BOTTLES[:2]:  # needs no mask
        reversed_maps += [{k: v for k, v in good.items() if k != 'gt_mask'}]
    metric.process({}, [*reversed_maps, *CABLES])
    assert metric.evaluate(8)['anomaly/pixel_auroc/bottle'] < 0.5
    metric.process({}, [*BOTTLES, *CABLES])
    assert_same(metric.evaluate(6), evaluate([*BOTTLES, *CABLES], mode=mode))


@both_modes
def test_feature_the_label_counts_and_not_the_mask(mode, warnings) -> None:
    """A defect that is lost in a small mask still makes the image defective."""
    lost = row('bottle', 1, 0.9, [0.5, 0.25], [0, 0])
    good = row('bottle', 0, 0.5, [0.5, 0.25], [0, 0])
    found = evaluate([lost, good], mode=mode, classes=['bottle'])
    assert found['anomaly/image_auroc/bottle'] == 1
    assert math.isnan(found['anomaly/pixel_auroc/bottle'])
    assert warnings() == [
        "product 'bottle': pixel metrics (its masks have no defect pixel) are "
        'undefined and left out of the means.'
    ]
    # Beside another defect its pixels are normal ones.
    seen = row('bottle', 1, 0.9, [0.5, 0.5], [0, 1])
    found = evaluate([lost, good, seen], mode=mode, classes=['bottle'])
    assert found['anomaly/image_auroc/bottle'] == 1
    assert found['anomaly/pixel_auroc/bottle'] == pytest.approx((2 + 1.5) / 5)


@both_modes
@pytest.mark.parametrize(
    ('cables', 'reason'),
    [
        ([], f'image {NO_IMAGE} and pixel {NO_IMAGE}'),
        (
            CABLES[1:],
            'image metrics (all its images are good) and pixel metrics (its masks have '
            'no defect pixel)',
        ),
        (CABLES[:1], 'image metrics (all its images are defective)'),
        (
            [CABLES[1], sample('cable', 1, 0.5, [[0.5, 0.25]])],
            'pixel metrics (a defective image of it has no mask)',
        ),
        ([sample('cable', 0, 0.5), sample('cable', 1, 0.75, [[0.5]], [[1]])], None),
    ],
)
def test_feature_undefined_is_nan_and_said_once(mode, cables, reason, warnings) -> None:
    found = evaluate([*BOTTLES, *cables], mode=mode, old_classes=['bottle'])
    said = f"product 'cable': {reason} are undefined and left out of the means."
    assert warnings() == ([said] if reason else [])
    for metric in ('image_auroc', 'image_f1max', 'pixel_auroc', 'pixel_ap', 'aupro'):
        kind = 'image' if metric.startswith('image') else 'pixel'
        undefined = f'{kind} metrics' in (reason or '')
        assert math.isnan(found[f'anomaly/{metric}/cable']) == undefined
        assert math.isnan(found[f'anomaly/{metric}_new']) == undefined
        if undefined:
            bottle = GOLDEN[f'anomaly/{metric}/bottle']
            assert found[f'anomaly/{metric}_all'] == pytest.approx(bottle)


@both_modes
def test_feature_images_alone(mode) -> None:
    """No map is asked for and no pixel metric is reported."""
    bare = [{k: v for k, v in s.items() if k != 'pred_map'} for s in BOTTLES]
    found = evaluate(bare, mode=mode, pixel=False, classes=['bottle'], prefix='mine')
    expected = {f'image_auroc{end}': 3.5 / 4 for end in ('/bottle', '_all')}
    expected |= {f'image_f1max{end}': 0.8 for end in ('/bottle', '_all')}
    expected |= {f'{name}/bottle': value for name, value in GOOD_BOTTLES.items()}
    assert found == pytest.approx({f'mine/{k}': v for k, v in expected.items()})


def test_feature_maps_are_dropped_product_after_product() -> None:
    metric = made()
    metric.process({}, [*BOTTLES, *CABLES])
    records = list(metric.results)
    assert all(record.pixels is not None for record in records)
    metric.evaluate(6)
    assert all(record.pixels is record.mask is None for record in records)
    metric = made(mode='streaming')  # keeps none
    metric.process({}, BOTTLES)
    assert all(record.pixels is record.mask is None for record in metric.results)


def test_feature_the_log_has_a_table(log) -> None:
    evaluate([*BOTTLES, *CABLES], old_classes=['bottle'])
    (text,) = [r.getMessage() for r in log.records if 'product' in r.getMessage()]
    lines = [line.split() for line in text.strip().splitlines()]
    assert lines[0][:3] == ['product', 'image_auroc', 'image_f1max']
    assert lines[1][:3] == ['bottle', '0.875', '0.800']
    assert lines[-1][:4] == ['mean', '(all)', '0.438', '0.733']
    assert len(lines) == 6


def test_exception_constructor() -> None:
    with pytest.raises(ValueError, match="mode='fast': expected one of exact"):
        AnomalyMetric(mode='fast')
    with pytest.raises(ValueError, match='fpr_limit'):
        AnomalyMetric(fpr_limit=30)


@both_modes
def test_exception_samples(mode) -> None:
    with pytest.raises(ValueError, match="class_name='bottle': expected one of cable"):
        evaluate(BOTTLES, mode=mode, classes=['cable'])
    without = {k: v for k, v in BOTTLES[0].items() if k != 'pred_map'}
    with pytest.raises(ValueError, match=r'=None of bottle\.png: .* pixel=False'):
        evaluate([without], mode=mode)
    with pytest.raises(ValueError, match=r'pred_map=a map \(1, 1, 4\) of'):
        evaluate([{**BOTTLES[0], 'pred_map': torch.zeros(1, 1, 4)}], mode=mode)
    for key in ('pred_map', 'pred_score'):
        for value in ('nan', 'inf'):
            broken = {**BOTTLES[0], key: BOTTLES[0][key] + float(value)}
            with pytest.raises(ValueError, match=r'bottle\.png: .* NaN or infinity'):
                evaluate([broken], mode=mode)


def test_exception_streaming_needs_non_negative_maps() -> None:
    negative = row('bottle', 0, 0.5, [-0.5, 0.5], [0, 0])
    with pytest.raises(ValueError, match='or NaN'):
        evaluate([negative], mode='streaming')


@both_modes
def test_exception_classes(mode) -> None:
    with pytest.raises(ValueError, match=r"old_classes .* 'hazelnut'.* bottle, cable"):
        evaluate(BOTTLES, mode=mode, old_classes=['hazelnut'])


@both_modes
def test_exception_images_that_were_not_evaluated(mode) -> None:
    metric = made(['bottle'], mode=mode)
    with pytest.raises(ValueError, match=r'no image was evaluated|0 images were proc'):
        metric.evaluate(1)


def test_exception_images_that_count_twice() -> None:
    metric = made(['bottle'], mode='streaming')
    metric.process({}, [*BOTTLES, BOTTLES[0]])
    with pytest.raises(ValueError, match=r'5 images .* expected 4, .* round_up=False'):
        metric.evaluate(4)


@pytest.mark.slow  # a fresh interpreter imports torch
def test_feature_does_not_import_mmdet() -> None:
    code = (
        'import sys, mmdefect.evaluation.anomaly_metric; '
        "print([m for m in ('mmdet', 'mmpretrain') if m in sys.modules])"
    )
    command = [sys.executable, '-c', code]
    assert subprocess.check_output(command, cwd=REPO, env=tool_env()).strip() == b'[]'


@both_modes
def test_feature_good_images_only_have_scores(mode, log) -> None:
    """Said in words; the table has dashes."""
    good = [sample('cable', 0, score) for score in (0.5, 0.25, 1.0, 0.75, 0.0)]
    found = evaluate([*BOTTLES, *good], mode=mode)
    quantiles = [found[f'anomaly/score_{q}/cable'] for q in ('q50', 'q95', 'max')]
    assert quantiles == pytest.approx([0.5, 0.95, 1.0])
    assert found['anomaly/image_auroc_all'] == GOLDEN['anomaly/image_auroc/bottle']
    assert (
        "product 'cable': all its 5 test images are good, so its AUROC is undefined; "
        'half of them score below 0.5, 95 % below 0.95, 99 % below 0.99, none above 1.'
    ) in log.text
    (row,) = [line for line in log.text.splitlines() if line.startswith('cable')]
    assert row.split() == ['cable', *['–'] * 6]


@both_modes
def test_feature_no_image_at_all(mode, log) -> None:
    """As for old products whose images are elsewhere."""
    metric = made(['bottle'], mode=mode)
    found = metric.evaluate(0)
    assert math.isnan(found['anomaly/image_auroc_all'])
    assert math.isnan(found['anomaly/score_max/bottle'])
    assert found['anomaly/good_images/bottle'] == 0
    assert 'it has no test image' in log.text
