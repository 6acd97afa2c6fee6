"""``mmdefect predict --line``: the version in use decides, and it is written down."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.record import Recorder


def of_line(args: argparse.Namespace) -> Recorder | None:
    """Put the version in use in the place of MODEL, if there is a line.

    Raises:
        FileNotFoundError: There is no such line, or it has no version.
        ValueError: The model is none of its versions, MODEL or INPUT is missing, or
            results would lie inside of a line.
    """
    from mmdefect.line.folder import Line, is_line, refuse_inside

    if args.out is not None:
        refuse_inside(args.out)
    if args.line is None:
        if args.model is None:
            raise ValueError(
                f'{args.inputs[0]}: expected MODEL and INPUT; one is missing'
            )
        if is_line(args.model):
            raise ValueError(
                f'{args.model} is a line: expected it as --line {args.model}: its '
                'version in use decides then, and the decisions are written down'
            )
        return None
    from mmdefect.deploy.package import is_package
    from mmdefect.line.record import Recorder

    line = Line(args.line)
    words = [args.model, *args.inputs] if args.model else args.inputs
    if own := is_package(words[0]):
        version, args.inputs = line.version_of(words[0]), words[1:]
    else:
        version, args.inputs = line.current(), words
    if not args.inputs:
        raise ValueError(f'--line {args.line}: expected INPUT; say what to look at')
    if version is None and not own:
        line.package()  # says that there is none yet
    recorder = Recorder(line, version=version)
    args.model = str(line.package(version))
    return recorder


def recorded(recorder: Recorder, prediction: Prediction) -> Prediction:
    """Write a decision down; the result says it if that cannot be done.

    Args:
        prediction: That holds the content of its file: what was looked at is hashed and
            kept, whatever has taken its name since.

    Raises:
        OSError: It cannot, and the line refuses to serve it then.
    """
    from mmdefect.cli.inputs import full_name

    source = full_name(prediction.source)
    data = prediction.data
    if prediction.error is not None and data is None and _is_empty(Path(source)):
        data = b''  # known by it, as a server knows it
    note = recorder.record(prediction, data=data, source=source)
    return replace(prediction, data=None, unrecorded=note)


def _is_empty(path: Path) -> bool:
    try:
        return path.is_file() and not path.stat().st_size
    except OSError:
        return False
