"""Streams of products of a results file as tables."""

from __future__ import annotations

from lab.tables.product_table import is_products, product_lines

METRICS = {
    'resnet50/memory/image_auroc': 0.9512,
    'resnet50/memory/image_auroc_std': 0.0021,
    'resnet50/memory/routing': 1.0,
    'resnet50/memory/image_auroc/bottle': 1.0,
    'resnet50/memory/image_auroc/pcb': 0.5,
    'resnet50/memory/mb_per_product': 1.234,
    'resnet50/memory/seconds_per_product': 42.4,
    'resnet50/joint/image_auroc/bottle': 0.75,
    'resnet50/joint/seconds_per_product': 1600.4,
}


def test_feature_tables() -> None:
    """What a method does not have is a dash."""
    assert is_products(METRICS)
    lines = product_lines(METRICS)
    assert lines[2:4] == [
        '| `resnet50/memory` | 95.1 ± 0.2 | – | – | – | 100.0 | – | – | 1.23 | 42.4 |',
        '| `resnet50/joint` | – | – | – | – | – | – | – | – | 1,600 |',
    ]
    assert lines[5:] == [
        '| image AUROC, % | bottle | pcb |',
        '| --- | ---: | ---: |',
        '| `resnet50/memory` | 100.0 | 50.0 |',
        '| `resnet50/joint` | 75.0 | – |',
    ]


def test_feature_other_results_are_none() -> None:
    assert not is_products({'finetune/ACC_image': 0.5, 'coreset/last_image': 2})
