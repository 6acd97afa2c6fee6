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
