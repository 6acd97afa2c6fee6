"""Options of commands that read annotated boxes; light enough for any help text."""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = ('auto', 'coco', 'labelme', 'yolo', 'cvat', 'label-studio', 'voc')
"""Whose files are read: the keys of :data:`.formats.TITLES`, or by their content."""


def add_import_options(parser: argparse._ActionsContainer) -> None:
    """Add the options of :func:`.importing.import_boxes`, and the share to validate."""
    parser.add_argument(
        '--format', choices=FORMATS, default='auto', help='of the annotations'
    )
    parser.add_argument(
        '--images', type=Path, help='folder of images; default: that of annotations'
    )
    parser.add_argument('--classes', nargs='+', help='all classes in the order wanted')
    parser.add_argument(
        '--take-unlabelled',
        action='store_true',
        help='images without annotations are good ones; default: they are left out',
    )
    parser.add_argument(
        '--val-share',
        type=float,
        help='share of images for validation; default: the subsets that are there, '
        'else 0.2',
    )
