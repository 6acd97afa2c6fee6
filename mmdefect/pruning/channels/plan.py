"""A channel plan: which channels of which layers stay, as a JSON file.

The plan says for every layer which outputs and which inputs are kept, so whoever
applies it needs neither the scores nor the dependency graph that it came from. A
published plan of which only the widths are known gives numbers instead of lists; it
builds the architecture, but cannot say which weights to take.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdefect.utils.files import write_text

FORMAT = 'mmdefect-channel-plan/1'
Kept = Sequence[int] | int
_ENTRY = ('out', 'out_of', 'in', 'in_of')


@dataclass(frozen=True, kw_only=True)
class LayerCut:
    """What of one layer stays; ``None`` where all of it does.

    Attributes:
        out: Kept output channels, ascending, or how many.
        out_of: How many there were.
        into: Kept input channels, ascending, or how many.
        into_of: How many there were.
    """

    out: Kept | None = None
    out_of: int | None = None
    into: Kept | None = None
    into_of: int | None = None


@dataclass(frozen=True, kw_only=True)
class ChannelPlan:
    """Cuts by name of the layer, as ``model.named_modules()`` gives it.

    Attributes:
        layers: Layers that lose something.
        origin: Where the plan comes from, for the reader: score, share, source.
    """

    layers: Mapping[str, LayerCut]
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def widths_only(self) -> bool:
        """Whether it knows how many channels stay, but not which."""
        return any(
            isinstance(kept, int)
            for cut in self.layers.values()
            for kept in (cut.out, cut.into)
        )

    def below(self, prefix: str) -> ChannelPlan:
        """The part of the plan below a module, with names relative to it."""
        start = f'{prefix}.'
        layers = {
            name.removeprefix(start): cut
            for name, cut in self.layers.items()
            if name.startswith(start)
        }
        return ChannelPlan(layers=layers, origin=self.origin)

    def widths(self) -> dict[str, int]:
        """Kept output channels in numbers, of the layers that lose some."""
        return {
            name: number_kept(cut.out)
            for name, cut in self.layers.items()
            if cut.out is not None
        }


def number_kept(kept: Kept) -> int:
    """How many channels stay."""
    return kept if isinstance(kept, int) else len(kept)


def indices_kept(kept: Kept) -> list[int]:
    """Which channels stay; of a bare number the first, whose weights say nothing."""
    return list(range(kept)) if isinstance(kept, int) else list(kept)


def write_plan(plan: ChannelPlan, path: str | Path) -> Path:
    """Write a plan as JSON, one layer a line."""
    path = Path(path)
    lines = ',\n'.join(
        f'    {json.dumps(name)}: {json.dumps(_as_json(cut))}'
        for name, cut in plan.layers.items()
    )
    text = (
        f'{{\n  "format": {json.dumps(FORMAT)},\n'
        f'  "origin": {json.dumps(dict(plan.origin))},\n'
        f'  "layers": {{\n{lines}\n  }}\n}}\n'
    )
    write_text(path, text)
    return path


def _as_json(cut: LayerCut) -> dict[str, Any]:
    sides = zip(_ENTRY, (cut.out, cut.out_of, cut.into, cut.into_of), strict=True)
    return {key: value for key, value in sides if value is not None}


def read_plan(path: str | Path) -> ChannelPlan:
    """Read a plan.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no plan, or says something impossible.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}: there is no channel plan; give the plan.json that '
            'tools/prune.py wrote'
        )
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path}: expected a plan in JSON ({error})') from error
    return plan_from_dict(content, where=str(path))


def plan_from_dict(content: Any, *, where: str = 'the plan') -> ChannelPlan:
    """Check what a plan file holds.

    Raises:
        ValueError: It is no plan, or says something impossible.
    """
    if not isinstance(content, Mapping) or content.get('format') != FORMAT:
        raise ValueError(
            f'{where}: expected {{"format": "{FORMAT}", "layers": {{...}}}} as '
            'tools/prune.py writes it'
        )
    listed = content.get('layers')
    if not isinstance(listed, Mapping):
        raise ValueError(f'{where}: expected "layers": {{"name": {{...}}}}')
    layers = {}
    for name, entry in listed.items():
        place = f'{where}, layer {name}'
        if not isinstance(entry, Mapping) or not entry.keys() <= {*_ENTRY}:
            raise ValueError(
                f'{place}={_shown(entry)}: expected of out, out_of, in and in_of what '
                'is cut'
            )
        layers[name] = LayerCut(
            out=_kept(entry.get('out'), entry.get('out_of'), f'{place}, out'),
            out_of=entry.get('out_of'),
            into=_kept(entry.get('in'), entry.get('in_of'), f'{place}, in'),
            into_of=entry.get('in_of'),
        )
    return ChannelPlan(layers=layers, origin=dict(content.get('origin') or {}))


def _kept(kept: Any, total: Any, place: str) -> Kept | None:
    if kept is None and total is None:
        return None
    if not isinstance(total, int) or total < 1:
        raise ValueError(f'{place}_of={total!r}: expected how many there were')
    if isinstance(kept, int) and 1 <= kept <= total:
        return kept
    if isinstance(kept, list) and _ascending(kept) and 0 <= kept[0] <= kept[-1] < total:
        return tuple(kept)
    raise ValueError(
        f'{place}={_shown(kept)}: expected one or more different indices below '
        f'{total} in ascending order, or their number'
    )


def _ascending(values: list[Any]) -> bool:
    integers = all(isinstance(value, int) for value in values)
    return bool(values) and integers and values == sorted(set(values))


def _shown(kept: Any) -> str:
    text = repr(kept)
    return text if len(text) <= 60 else f'{text[:57]}...'


def complement(dropped: Iterable[int], total: int) -> tuple[int, ...]:
    """What stays of ``total`` channels."""
    gone = set(dropped)
    return tuple(index for index in range(total) if index not in gone)
