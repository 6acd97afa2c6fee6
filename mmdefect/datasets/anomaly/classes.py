"""Products of the public anomaly datasets, and how many images each has."""

from __future__ import annotations

MVTEC_AD_TOTALS: dict[str, tuple[int, int, int]] = {
    'bottle': (209, 20, 63),
    'cable': (224, 58, 92),
    'capsule': (219, 23, 109),
    'carpet': (280, 28, 89),
    'grid': (264, 21, 57),
    'hazelnut': (391, 40, 70),
    'leather': (245, 32, 92),
    'metal_nut': (220, 22, 93),
    'pill': (267, 26, 141),
    'screw': (320, 41, 119),
    'tile': (230, 33, 84),
    'toothbrush': (60, 12, 30),
    'transistor': (213, 60, 40),
    'wood': (247, 19, 60),
    'zipper': (240, 32, 119),
}
"""Normal training, good test and defective test images of each product."""


MVTEC_AD_CLASSES = tuple(MVTEC_AD_TOTALS)
"""In the order of the incremental protocols."""


VISA_TOTALS: dict[str, tuple[int, int, int]] = {
    'candle': (900, 100, 100),
    'capsules': (542, 60, 100),
    'cashew': (450, 50, 100),
    'chewinggum': (453, 50, 100),
    'fryum': (450, 50, 100),
    'macaroni1': (900, 100, 100),
    'macaroni2': (900, 100, 100),
    'pcb1': (904, 100, 100),
    'pcb2': (901, 100, 100),
    'pcb3': (905, 101, 100),
    'pcb4': (904, 101, 100),
    'pipe_fryum': (450, 50, 100),
}
"""Normal training, good test and defective test images of each product (1cls split)."""


VISA_CLASSES = tuple(VISA_TOTALS)
"""In the order of the incremental protocols."""
