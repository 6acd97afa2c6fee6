"""Names of kinds and products that are almost alike: one thing, or two?"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from mmdefect.utils.checks import some_of

#: From which likeness on a name is taken for another one that is misspelt.
_ALIKE = 0.85


def folded(name: str) -> str:
    """A name without what people spell in different ways: case, blanks, ``_``, ``-``.

    Example:
        >>> folded('Rolled-in scale') == folded('rolled_in_scale')
        True
    """
    text = unicodedata.normalize('NFKC', name).casefold()
    # Between digits it says something: 1-11 is not 11-1.
    text = re.sub(r'(?<=\d)[\s_-]+(?=\d)', '\0', text)
    return re.sub(r'[\s_-]', '', text) or name


def twin_of(name: str, known: Iterable[str]) -> str | None:
    """The known name that another spelling of this one is; None if there is none."""
    return next((k for k in known if k != name and folded(k) == folded(name)), None)


def close_to(name: str, known: Sequence[str]) -> list[str]:
    """Known names that it may be a misspelling of, or the plural; at most three.

    Names that differ in digits only are none: those are numbered.
    """
    letters = re.sub(r'\d', '', name)
    others = [one for one in known if one == name or re.sub(r'\d', '', one) != letters]
    return get_close_matches(name, others, n=3, cutoff=_ALIKE)


def check_spelling(what: str, names: Iterable[str], known: Sequence[str] = ()) -> None:
    """Refuse names of which one is but another spelling of a second one.

    Args:
        what: Whose names they are, for messages.
        names: In any order.
        known: Those of a model.

    Raises:
        ValueError: Naming both.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name in dict.fromkeys(names):
        groups[folded(name)].append(name)
        if name not in known and (other := twin_of(name, known)) is not None:
            raise ValueError(
                f"{what} says '{some_of([name])}' where the model says "
                f"'{some_of([other])}': expected the names of the model, or nothing is "
                'proved about them; rename it in the labels, and add the exam anew'
            )
    for same in groups.values():
        if len(same) > 1 and not {*same} <= {*known}:  # the model tells them apart
            raise ValueError(
                f'{what} says {some_of(same)}: expected one spelling of each name; '
                'rename them in the labels, and add the exam anew'
            )
