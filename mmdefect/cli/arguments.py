"""Arguments that several subcommands have in common."""

from __future__ import annotations

import argparse
from typing import Any


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare MODEL, ``--weights``, ``--step`` and ``--device``."""
    parser.add_argument('model', metavar='MODEL', help='work dir, config or package')
    parser.add_argument(
        '--weights', metavar='FILE', help="by default the work dir's own"
    )
    parser.add_argument(
        '--step', type=int, metavar='K', help='of a stream; by default the last'
    )
    parser.add_argument(
        '--device', default='auto', help='auto, cpu, cuda, cuda:1 ... (auto)'
    )


def model_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What :func:`add_model` has read."""
    return {
        name: getattr(args, name) for name in ('model', 'weights', 'step', 'device')
    }
