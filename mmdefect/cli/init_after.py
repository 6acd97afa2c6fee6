"""``mmdefect init maps --after``: products that a model learns besides its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmdefect.cli.init_plan import literal, names_literal, noted


@dataclass(frozen=True)
class Before:
    """What a model knows that is to learn more.

    Args:
        checkpoint: Its weights.
        products: Its products, in label order.
    """

    checkpoint: Path
    products: list[str]

    def news(self, names: Sequence[str]) -> list[str]:
        """Those of some products that it does not know."""
        return [name for name in names if name not in self.products]


def find_before(work_dir: Path) -> Before:
    """Find what a stream has learned last.

    Raises:
        FileNotFoundError: There is no such work dir of a stream.
        ValueError: No step of it is trained.
    """
    from mmdefect.streams.state import StreamState, inside

    done = [s for s in StreamState.load(work_dir).steps if s.checkpoint is not None]
    if not done:
        raise ValueError(
            f'--after {work_dir}: expected a work dir with a trained step; train it'
        )
    known = [name for step in done for name in step.classes]
    return Before(inside(work_dir, str(done[-1].checkpoint)), known)


def stream_text(names: Sequence[str], before: Before | None) -> str:
    """Part of a config that says which products are learned when.

    Args:
        names: All products, those that are known first.
        before: What the model knows already.
    """
    if before is None:
        said = (
            'All products in one step. For what comes later: mmdefect init maps '
            '--after, and the work dir of this config.'
        )
        return f'{noted(said)}\nstream = dict(protocol=[products])'
    said = 'What the model knows, whose images are not needed, and what it learns.'
    return f"""\
{noted(said)}
known = {names_literal(before.products)}
new = {names_literal(before.news(names))}
start = {literal(before.checkpoint)}
stream = dict(protocol=[known, new], start_from=start)
del known, new, start"""
