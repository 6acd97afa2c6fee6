"""How much of a pretrained network to train: the four-quadrant rule, as a suggestion.

The rule is folklore of transfer learning; the casting study quotes it, and doubts it:
on its data, training everything at a small learning rate was better. So it is printed
as a starting point, and the table of the runs decides.
"""

from __future__ import annotations

from typing import NamedTuple

from mmdefect.engine.freezing import QUADRANTS
from mmdefect.utils.checks import check_choice

# The study calls 6,633 images small. A convention, not a measured border.
LARGE = 10_000
SIMILARITIES = ('low', 'high')
REASONS = {
    'Q1': 'much data, unlike the pretraining images: train everything',
    'Q2': 'much data, like the pretraining images: train the layers next to the head',
    'Q3': 'little data, unlike the pretraining images: freeze the first layers only',
    'Q4': 'little data, like the pretraining images: train the head alone',
}


class Suggestion(NamedTuple):
    """What the rule says.

    Attributes:
        quadrant: ``'Q1'`` to ``'Q4'``, as the freeze hook takes it.
        fraction: Share of the backbone's units that are trained.
        reason: In words.
    """

    quadrant: str
    fraction: float
    reason: str

    def __str__(self) -> str:
        return (
            f'{self.quadrant} ({self.reason}): default_hooks.freeze.mode=quadrant '
            f'default_hooks.freeze.quadrant={self.quadrant}, that is fraction '
            f'{self.fraction}'
        )


def suggest(images: int, similarity: str) -> Suggestion:
    """Apply the rule.

    Args:
        images: Number of training images.
        similarity: ``'low'`` or ``'high'``: whether the images look like those that the
            weights were pretrained on. Grey castings are not like ImageNet.

    Raises:
        ValueError: No images, or an unknown similarity.
    """
    if images < 1:
        raise ValueError(f'{images} training images were given, 1 or more expected.')
    check_choice('similarity', similarity, SIMILARITIES)
    large, similar = images >= LARGE, similarity == 'high'
    quadrant = {
        (True, False): 'Q1',
        (True, True): 'Q2',
        (False, False): 'Q3',
        (False, True): 'Q4',
    }[large, similar]
    return Suggestion(quadrant, QUADRANTS[quadrant], REASONS[quadrant])
