"""What is said of a setting that does not exist."""

from __future__ import annotations

from collections.abc import Sequence


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Refuse a value that is none of the choices.

    Raises:
        ValueError: Naming the setting, the value and what there is.
    """
    if value not in choices:
        raise ValueError(f'{name} is {value!r}: expected one of {", ".join(choices)}')
