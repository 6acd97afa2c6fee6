"""Write the JSON lists that published incremental code reads, from a protocol.

Below DIR: ``split/<k>_train.json`` (the products a step brings) and ``<k>_test.json``
(all so far), where k is the number of products after the step, and
``orisplit/train_<class>.json``, ``test_<class>.json``. One JSON object a line. Exits
with 1, writing nothing, when something does not match.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.ad_lists import build_lists, write_lists
from mmdefect.converters.output import in_one_sentence
from mmdefect.datasets.anomaly.classes import MVTEC_AD_CLASSES, VISA_CLASSES
from mmdefect.datasets.anomaly.layout import list_products
from mmdefect.streams.protocol import parse_protocol
from mmdefect.utils.checks import name_some

CLASSES = {'mvtec': MVTEC_AD_CLASSES, 'visa': VISA_CLASSES}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('root', type=Path, help='e.g. data/MVTec-AD')
    parser.add_argument('--protocol', required=True, help='e.g. 10-1x5')
    products = parser.add_mutually_exclusive_group()
    products.add_argument(
        '--dataset', choices=list(CLASSES), help='products of a published dataset'
    )
    products.add_argument(
        '--classes',
        nargs='+',
        help='your own, in stream order; by default all of ROOT by name',
    )
    parser.add_argument('--out', type=Path, help='default: ROOT/lists')
    return parser.parse_args(argv)


@in_one_sentence
def main(argv: Sequence[str] | None = None) -> int:
    args = parse_args(argv)
    out = args.out or args.root / 'lists'
    classes = args.classes or products_of(args.root, args.dataset)
    lists, errors = build_lists(args.root, parse_protocol(args.protocol, classes))
    if errors:
        print('\n'.join(f'ERROR: {error}' for error in errors))
        print('Nothing written: see the errors above.')
        return 1
    write_lists(lists, out)
    for name, lines in lists.items():
        print(f'{out / name}: {len(lines)} images')
    return 0


def products_of(root: Path, dataset: str | None) -> Sequence[str]:
    """Products of a dataset, else all of a folder."""
    found = list_products(root)
    if not found:
        raise FileNotFoundError(
            f'{root} holds no product: expected train/good and test/<kind> below a '
            'folder a product'
        )
    if dataset is None:
        return found
    if lacking := [name for name in CLASSES[dataset] if name not in found]:
        raise ValueError(
            f'{root} lacks {name_some(lacking)} of {dataset}: expected all of them, '
            f'it holds {", ".join(found)}; leave --dataset out to take these, or give '
            '--classes in the order of the stream'
        )
    return CLASSES[dataset]


if __name__ == '__main__':
    raise SystemExit(main())
