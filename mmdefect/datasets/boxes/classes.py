"""Classes of the public box datasets, in the order of the incremental protocols."""

from __future__ import annotations

NEU_DET_CLASSES = (
    'crazing',
    'inclusion',
    'patches',
    'pitted_surface',
    'rolled-in_scale',
    'scratches',
)

DEEPPCB_CLASSES = ('open', 'short', 'mousebite', 'spur', 'copper', 'pin-hole')
"""In the order of the type numbers 1 to 6 of the annotation files."""

PALETTE = [
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
]
"""Colours that boxes of six classes are drawn in, RGB."""
