"""How much of a pretrained network to train: the four-quadrant rule, as a suggestion.

The rule is folklore of transfer learning. The casting study quotes it, and found that
training everything at a small learning rate was better; the table of the runs decides.
"""

from __future__ import annotations

from typing import NamedTuple

from mmdefect.engine.freezing import QUADRANTS
from mmdefect.utils.checks import check_choice, check_range

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
    """Apply the rule, ``'high'`` for images like those of the pretraining.

    Raises:
        ValueError: No images, or an unknown similarity.
    """
    check_range('images', images, 1)
    check_choice('similarity', similarity, SIMILARITIES)
    quadrant = f'Q{1 + 2 * (images < LARGE) + (similarity == "high")}'
    return Suggestion(quadrant, QUADRANTS[quadrant], REASONS[quadrant])
