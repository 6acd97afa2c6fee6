"""What is cut out of large images, what of it is kept, and what became of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

from mmdefect.deploy.tiling import Tiling
from mmdefect.utils.checks import check_range, name_some


@dataclass(frozen=True, kw_only=True)
class TileRule:
    """What is cut, and what of it is kept.

    Args:
        tiling: How an image is cut.
        min_visible: Share of a box that a tile has to show to learn from it.
        drop: Whether boxes below are left out; they become ``iscrowd`` otherwise, which
            means: not learned, and detections on them are not counted.
        keep_empty: Share of the tiles without any box that are kept.
        val_share: Share of the images whose tiles are for validation.
        seed: Of what is drawn: empty tiles, images for validation.

    Raises:
        ValueError: If a share is outside of [0, 1], or ``min_visible`` is 0.
    """

    tiling: Tiling
    min_visible: float = 0.5
    drop: bool = False
    keep_empty: float = 0.1
    val_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_range('min_visible', self.min_visible, 0, 1, open_low=True)
        check_range('keep_empty', self.keep_empty, 0, 1)
        check_range('val_share', self.val_share, 0, 1, open_high=True)


@dataclass
class Counts:
    """What became of tiles and boxes; ``notes`` says it.

    Args:
        tiles: Kept ones.
        empty: Tiles without a box that were left out.
        only_cut: Tiles that show nothing but cut-off boxes, which were left out.
        boxes: Seen boxes that are kept; one may be in several tiles.
        cut: Boxes that a tile shows too little of.
        slivers: Boxes of which a tile shows less than a pixel, always left out.
        unseen: Boxes that no tile shows enough of.
    """

    tiles: int = 0
    empty: int = 0
    only_cut: int = 0
    boxes: int = 0
    cut: int = 0
    slivers: int = 0
    unseen: list[str] = field(default_factory=list)

    def notes(self, rule: TileRule) -> list[str]:
        """One sentence each."""
        fate = 'left out' if rule.drop else 'marked iscrowd'
        found = [
            f'{self.empty} tiles without a box were left out '
            f'(--keep-empty {rule.keep_empty:g})',
            f'{self.cut} boxes of which a tile shows less than {rule.min_visible:g} '
            f'were {fate}, {self.slivers} of less than a pixel left out',
            f'{self.only_cut} tiles that show nothing but such boxes were left out',
        ]
        if self.unseen:
            found.append(
                f'no tile shows {rule.min_visible:g} of some boxes, which nothing is '
                f'learned from ({name_some(self.unseen)}): larger tiles, or more '
                'overlap, would'
            )
        return found
