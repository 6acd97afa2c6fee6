"""Products of which only good images are learned: the data of an anomaly stream."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmdefect.datasets.anomaly.checks import file_errors, warn_of
from mmdefect.datasets.anomaly.classes import MVTEC_AD_CLASSES, VISA_CLASSES
from mmdefect.datasets.anomaly.depth import product_bits
from mmdefect.datasets.anomaly.held_out import SHARE, held_out, untested_note
from mmdefect.datasets.anomaly.layout import (
    SPLITS,
    AnomalyImage,
    Scan,
    draw_images,
    list_products,
    scan_products,
    untested_error,
)
from mmdefect.datasets.anomaly.meta_file import read_meta_file
from mmdefect.datasets.images import check_settings, refuse
from mmdefect.registry import DATASETS
from mmdefect.utils.checks import check_choice, check_known, check_range, name_some


@DATASETS.register_module()
class AnomalyDataset(BaseDataset):
    """Images of several products in the folders of MVTec-AD, or as a list names them.

    A product is a class of the stream. Training sees good images only; a test image is
    good, or has a defect that masks outline. A product without a ``ground_truth``
    folder is image-level data: its defective images have no mask, which is logged. One
    without test images is, too: see ``hold_out``.

    A data info holds ``img_path``, ``mask_paths``, ``has_mask`` (True for good images:
    they have no defect pixel), ``class_name``, ``class_label`` (index into
    ``seen_classes``), ``defect`` and ``gt_label`` (0 good, 1 defective).

    Args:
        split: ``'train'`` or ``'test'``.
        meta_file: List of images instead of the folders (see
            :mod:`mmdefect.datasets.anomaly.meta_file`), relative to ``data_root``.
            Products that are not kept are passed over.
        seen_classes: Products in label order; all products by default.
        keep_classes: Products whose images are in the set; all seen ones by default.
        replay: Training images of each replayed product that are added: the small
            memory that replay baselines are allowed.
        replay_classes: Products they are taken from.
        replay_seed: Which images are taken: a function of the seed and their names, so
            it depends neither on the step nor on the order of the files.
        rebalance: Repeat the images of small products in training, so that every
            product counts about equally in an epoch.
        hold_out: Share of ``train/good`` of a product without good test images that is
            not learned but tested as good: then its good scores are known, and its
            AUROC if there are defective ones. Give the same value in training and
            test. With 0, and for products that only a list names, all is learned.
        verify: Whether to look at every file at the start: True reads headers and
            decodes masks, ``'full'`` decodes all pixels.
        exif: What images with an EXIF orientation mean, see
            :func:`mmdefect.datasets.anomaly.checks.file_errors`; by default stored
            pixels, with masks that agree. Equal in training and test.
        bits: How many bits 16-bit images use, 8 to 16; by default the training images
            of each product say (see :mod:`mmdefect.datasets.anomaly.depth`).
        kwargs: As for MMEngine's ``BaseDataset``: ``data_root``, ``pipeline``,
            ``metainfo=dict(classes=...)``, ``lazy_init`` and so on. ``test_mode``
            follows ``split`` unless it is given.

    Raises:
        ValueError: If a product is unknown or has no images, or a file is missing,
            broken, without its mask or image, or of another size than its mask.
        FileNotFoundError: If ``data_root`` or the list is not there.

    Example:
        >>> dict(type='mmdefect.AnomalyDataset', data_root='data/products/',
        ...      split='train', metainfo=dict(classes=('bottle', 'pcb')),
        ...      keep_classes=['pcb'])  # doctest: +SKIP
    """

    METAINFO: ClassVar[dict[str, Any]] = {}
    # Whether every product has test images, or the dataset is broken.
    complete: ClassVar[bool] = False

    def __init__(
        self,
        *,
        split: str = 'train',
        meta_file: str | None = None,
        seen_classes: Sequence[str] | None = None,
        keep_classes: Sequence[str] | None = None,
        replay: int = 0,
        replay_classes: Sequence[str] = (),
        replay_seed: int = 0,
        rebalance: bool = False,
        hold_out: float = SHARE,
        verify: bool | str = True,
        exif: str | None = None,
        bits: int | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, SPLITS)
        check_settings(exif=exif, bits=bits)
        check_choice('verify', verify, (True, False, 'full'))
        check_range('hold_out', hold_out, 0, 1, open_high=True)
        if replay < 0 or (split == 'test' and (replay or rebalance)):
            raise ValueError(
                f'replay={replay}, rebalance={rebalance}, split={split!r}: expected a '
                'number of images from 0, and both in training only'
            )
        self.hold_out = float(hold_out)
        self.split = split
        self.meta_file = meta_file
        self.seen_classes = None if seen_classes is None else list(seen_classes)
        self.keep_classes = None if keep_classes is None else list(keep_classes)
        self.replay = replay
        self.replay_classes = list(replay_classes)
        self.replay_seed = replay_seed
        self.rebalance = rebalance
        self.verify = verify
        self.exif = exif
        self.bits = bits
        self._product_bits: dict[str, int] = {}
        self._notes: list[str] = []
        kwargs.setdefault('test_mode', split == 'test')
        lazy_init = kwargs.pop('lazy_init', False)
        super().__init__(lazy_init=True, **kwargs)
        self._declared = list(self._metainfo.get('classes', ()))
        if self._declared:
            self._choose_classes(self._declared)
        if not lazy_init:
            self.full_init()

    def _choose_classes(self, classes: Sequence[str]) -> None:
        """Check the classes that were asked for, and put the seen ones in metainfo."""
        seen = classes if self.seen_classes is None else self.seen_classes
        check_known(seen, classes, what='seen_classes')
        if self.keep_classes is not None:
            check_known(self.keep_classes, seen, what='keep_classes')
        check_known(self.replay_classes, seen, what='replay_classes')
        self._metainfo['classes'] = tuple(seen)
        if not self._keep:
            raise ValueError(
                f'seen_classes={self.seen_classes}, keep_classes={self.keep_classes}: '
                f'expected at least one of {", ".join(classes)}'
            )
        both = [name for name in self.replay_classes if name in self._keep]
        if self.replay and both:
            raise ValueError(
                f'replay_classes={self.replay_classes} names {", ".join(both)}, of '
                'which all images are in the set already: expected old products; give '
                'keep_classes'
            )

    @property
    def _keep(self) -> list[str]:
        """Products whose images are all in the set, in label order."""
        seen: tuple[str, ...] = self._metainfo['classes']
        return [n for n in seen if self.keep_classes is None or n in self.keep_classes]

    def load_data_list(self) -> list[dict[str, Any]]:
        """Find the images, check them, and choose those that the step sees.

        Returns:
            Data infos in label order of the products, replayed products last.
        """
        root = Path(self.data_root)
        where = f'{type(self).__name__} {self.data_root}'
        listed = None
        if self.meta_file is not None:
            listed = read_meta_file(root / self.meta_file, root)
        if not self._declared:
            found = {i.product for i in listed.images} if listed else None
            classes = sorted(found or list_products(root))
            if not classes:
                raise ValueError(
                    f'{where}: there is no product in the folder: expected train/good '
                    'and test/<kind> below a folder a product; check data_root, see '
                    'data/README.md'
                )
            self._choose_classes(classes)
        elif listed is None:
            list_products(root)  # for its message, should there be no such folder

        wanted = [*self._keep, *(self.replay_classes if self.replay else ())]
        if listed is None:
            scan = self._scanned(root, wanted)
        else:
            scan = self._listed(listed, wanted)
        if not scan.errors and self.verify:
            full = self.verify == 'full'
            scan.errors += file_errors(scan.images, full=full, exif=self.exif)
        refuse(scan.errors, where=where)
        self._product_bits, errors = product_bits(
            _by_product(scan.images),
            root=root if listed is None else None,
            bits=self.bits,
        )
        refuse(errors, where=where)
        if self.verify and self.split == 'test':
            warn_of(scan.images, where, root=root if listed is None else None)

        groups = _by_product(scan.images)
        for name in wanted[len(self._keep) :]:
            groups[name] = draw_images(
                groups[name], self.replay, seed=self.replay_seed, root=root
            )
        self._report(scan, groups)
        if self.rebalance:
            groups = repeat_small(groups)
        if not scan.images:  # MMEngine cannot pack nothing
            self.serialize_data = False
        return [self._info(image) for group in groups.values() for image in group]

    def _scanned(self, root: Path, wanted: Sequence[str]) -> Scan:
        """What the folders hold; without good test images a part is held out."""
        scan = scan_products(root, wanted, self.split)
        tests = scan
        if self.split == 'train':
            tests = scan_products(root, [n for n in wanted if self.hold_out], 'test')
        if self.complete:
            scan.errors += [untested_error(name, root) for name in scan.untested]
            return scan
        for name in [*tests.untested, *tests.all_defective]:
            known = scan_products(root, [name], 'train').images
            drawn = held_out(known, self.hold_out, root=root)
            if self.split == 'test':
                scan.images += drawn
                scan.images.sort(key=lambda image: wanted.index(image.product))
            else:
                scan.images = [i for i in scan.images if i not in set(drawn)]
            self._notes.append(
                untested_note(
                    name, len(drawn), self.hold_out, defects=name in tests.all_defective
                )
            )
        return scan

    def _listed(self, listed: Scan, wanted: Sequence[str]) -> Scan:
        """What a list says about the wanted products, in their order."""
        known = self._declared or self._metainfo['classes']
        scan = Scan(errors=list(listed.errors))
        groups = _by_product(listed.images)
        check_known(groups, known, what=f'the list {self.meta_file}')
        scan.images = [image for name in wanted for image in groups.get(name, ())]
        scan.image_level = [name for name in listed.image_level if name in wanted]
        absent = [name for name in wanted if name not in groups]
        if self.split == 'test' and not self.complete:
            self._notes += [untested_note(name, 0, self.hold_out) for name in absent]
        elif absent:
            scan.errors.append(
                f'the list {self.meta_file} has no image of {", ".join(absent)}: '
                'expected some of every product; add them, or change the classes'
            )
        defective = [str(i.path) for i in scan.images if i.label]
        if self.split == 'train' and defective:
            scan.errors.append(
                f'the training list {self.meta_file} has defective images '
                f'({name_some(defective)}): expected good ones only; remove them'
            )
        return scan

    def _info(self, image: AnomalyImage) -> dict[str, Any]:
        info = {
            'exif': self.exif or 'stored',
            'img_path': str(image.path),
            'mask_paths': [str(path) for path in image.masks],
            'has_mask': image.has_mask,
            'class_name': image.product,
            'class_label': self._metainfo['classes'].index(image.product),
            'defect': image.defect,
            'gt_label': image.label,
        }
        if image.product in self._product_bits:
            info['bits'] = self._product_bits[image.product]
        return info

    def _report(self, scan: Scan, groups: dict[str, list[AnomalyImage]]) -> None:
        counts = ', '.join(f'{name} {len(group)}' for name, group in groups.items())
        text = f'{type(self).__name__} {self.data_root} {self.split}: {counts} images.'
        if scan.image_level and self.split == 'test':
            text += (
                f' {", ".join(scan.image_level)}: no ground_truth, so defects are '
                'known by image only and pixel metrics are undefined.'
            )
        print_log(' '.join([text, *self._notes]), logger='current')


def _by_product(images: Sequence[AnomalyImage]) -> dict[str, list[AnomalyImage]]:
    groups: dict[str, list[AnomalyImage]] = defaultdict(list)
    for image in images:
        groups[image.product].append(image)
    return dict(groups)


def repeat_small(
    groups: dict[str, list[AnomalyImage]],
) -> dict[str, list[AnomalyImage]]:
    """Repeat each product's images a whole number of times, up to the largest product.

    Sizes then differ by less than a factor of two, since the number of times is
    rounded.
    """
    largest = max(len(group) for group in groups.values())
    return {
        name: group * max(round(largest / len(group)), 1)
        for name, group in groups.items()
    }


@DATASETS.register_module()
class MVTecADDataset(AnomalyDataset):
    """MVTec-AD, 15 products and textures with 3629 training and 1725 test images.

    P. Bergmann et al., CVPR 2019 and IJCV 129, 2021. Class order as in the incremental
    protocols: alphabetical.
    """

    METAINFO: ClassVar[dict[str, Any]] = {'classes': MVTEC_AD_CLASSES}
    complete = True


@DATASETS.register_module()
class VisADataset(AnomalyDataset):
    """VisA, 12 products with 8659 training and 2162 test images in the 1cls split.

    Y. Zou et al., ECCV 2022; converted by ``tools/dataset_converters/visa.py``. Class
    order as in the incremental protocols: alphabetical.
    """

    METAINFO: ClassVar[dict[str, Any]] = {'classes': VISA_CLASSES}
    complete = True
