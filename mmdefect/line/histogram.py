"""Bins of one rule for whatever is measured: of equal ratio, so that no scale is set.

16 an octave: a bin's ends are 4.4 % apart.
"""

from __future__ import annotations

import math

_AN_OCTAVE = 16
_OCTAVES = 20
#: Smaller numbers, whatever their sign, are in bin 0.
SMALLEST = 2.0**-_OCTAVES
#: Larger ones are in the last bin.
LAST = 2 * _OCTAVES * _AN_OCTAVE


def bin_of(value: float) -> int:
    """The bin of a finite number; that of a negative one is negative."""
    size = abs(value)
    if size < SMALLEST:
        return 0
    number = 1 + math.floor(_AN_OCTAVE * (math.log2(size) + _OCTAVES))
    return int(math.copysign(min(number, LAST), value))


def lower_edge(number: int) -> float:
    """The end of a bin that is nearer to minus infinity."""
    if number > 0:
        return 2.0 ** ((number - 1) / _AN_OCTAVE - _OCTAVES)
    return -(2.0 ** (-number / _AN_OCTAVE - _OCTAVES))
