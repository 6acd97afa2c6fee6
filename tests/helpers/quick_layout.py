"""MMEngine lays out the text of a config by Python itself, and not by yapf.

Names and values are the same, a name a line. Yapf takes a third of the time of a short
training, five times a run; a command that starts a new Python still uses it. Importing
this module is enough.
"""

from __future__ import annotations

import ast
from typing import Any

from yapf.yapflib import yapf_api

lay_out = yapf_api.FormatCode


def laid_out(text: str, **_: Any) -> tuple[str, bool]:
    """What stands in for yapf's layout of a text: it and whether that is another."""
    return f'{ast.unparse(ast.parse(text))}\n', True


yapf_api.FormatCode = laid_out
