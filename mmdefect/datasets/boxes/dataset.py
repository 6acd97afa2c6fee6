"""Defects in COCO format, with the classes of a step chosen at load time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.logging import print_log

from mmdefect.datasets.boxes.class_split import SPLIT_MODES, class_names, image_is_kept
from mmdefect.datasets.boxes.coco_file import boxes_in_frame, read_coco
from mmdefect.datasets.cached import CachedImages
from mmdefect.datasets.images import (
    check_settings,
    decode_errors,
    detect_bits,
    file_error,
    unlike_annotated,
)
from mmdefect.datasets.same_images import warn_of_same
from mmdefect.registry import DATASETS
from mmdefect.utils.checks import (
    check_choice,
    check_known,
    check_range,
    name_some,
    visible,
)
from mmdefect.utils.collection import collection_paused

SMALL = 2000
"""Images of a set that is decoded at the start unless the user says otherwise."""


@DATASETS.register_module()
class DefectDetDataset(CachedImages, CocoDataset):
    """COCO-format boxes of which a step sees some classes.

    Labels are indices into ``seen_classes``, matched by name, from here to the report.
    In training, images are chosen by ``split_mode`` (see
    :mod:`mmdefect.datasets.boxes.class_split`) as soon as the kept classes are not all
    classes of the file. In test mode every image stays, with the boxes of all seen
    classes.

    The file must hold all classes, in the order of ``metainfo['classes']`` when these
    are given (by the config or a subclass); otherwise the order is read from the file.

    Args:
        seen_classes: Classes in label order; all classes by default.
        keep_classes: Classes whose boxes are ground truth in training; all seen
            classes by default.
        split_mode: ``'overlap'``, ``'disjoint'`` or ``'relabel'``.
        max_broken: Largest tolerated fraction of missing or undecodable images in
            training; they are named and left out. 0 makes one an error, as test mode
            always does.
        verify_images: Whether to decode every image once at the start, and to compare
            its size with the annotated one; None does so if the file names at most
            2000 images. Turned off, for sets as large as COCO, only missing and empty
            files are found at the start, and the loader refuses the other ones when it
            meets them.
        exif: Which pixels of images with an EXIF orientation are annotated,
            ``'stored'`` or ``'turned'``; by default their annotated size says, and one
            that fits both is refused.
        bits: How many bits 16-bit images use, 8 to 16; by default 12 if no image of the
            file has a value above 4095, else 16.
        cache_gb: Memory for decoded images in gigabytes; 0 for none. The pipeline
            starts with ``LoadImageFromFile`` or ``mmdefect.LoadCachedImage``.
        stock_metric: Whether mmdet's ``CocoMetric`` scores, which reads the file by its
            own rules: images keep ids that are text, and test data need no annotations.
        kwargs: As for mmdet's ``CocoDataset``.

    Raises:
        ValueError: If a class is unknown, the class orders disagree, an entry of the
            file cannot be used (see :mod:`mmdefect.datasets.boxes.coco_file`), nothing
            is left to learn, or too many images are broken.
        FileNotFoundError: If the annotation file or the image folder is not there.

    Example:
        >>> dict(type='mmdefect.NEUDETDataset', data_root='data/NEU-DET/',
        ...      ann_file='coco/train.json', seen_classes=['crazing', 'patches'],
        ...      keep_classes=['patches'])  # doctest: +SKIP
    """

    METAINFO: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        *,
        seen_classes: Sequence[str] | None = None,
        keep_classes: Sequence[str] | None = None,
        split_mode: str = 'overlap',
        max_broken: float = 0.01,
        verify_images: bool | None = True,
        cache_gb: float = 0.0,
        exif: str | None = None,
        bits: int | None = None,
        stock_metric: bool = False,
        lazy_init: bool = False,
        **kwargs: Any,
    ) -> None:
        check_choice('split_mode', split_mode, SPLIT_MODES)
        check_range('max_broken', max_broken, 0, 1, open_high=True)
        check_settings(exif=exif, bits=bits)
        self.seen_classes = None if seen_classes is None else list(seen_classes)
        self.keep_classes = None if keep_classes is None else list(keep_classes)
        self.split_mode = split_mode
        self.max_broken = max_broken
        self.verify_images = verify_images
        self.cache_gb = cache_gb
        self.exif = exif
        self.bits = bits
        self.stock_metric = stock_metric
        self._cache: dict[str, np.ndarray] = {}
        kwargs.setdefault('data_prefix', {'img': ''})
        super().__init__(lazy_init=True, **kwargs)
        self._declared = list(self._metainfo.get('classes', ()))
        if self._declared:
            self._choose_classes(self._declared)
        if not lazy_init:
            self.full_init()

    def _choose_classes(self, classes: Sequence[str]) -> None:
        """Set seen and kept classes, the palette and the label order in metainfo."""
        seen = classes if self.seen_classes is None else self.seen_classes
        check_known(seen, classes, what='seen_classes')
        if self.keep_classes is not None:
            check_known(self.keep_classes, seen, what='keep_classes')
        palette = self._metainfo.get('palette', ())
        self._metainfo['classes'] = tuple(seen)
        if len(palette) == len(classes):
            colours = dict(zip(classes, palette, strict=True))
            self._metainfo['palette'] = [tuple(colours[name]) for name in seen]
        else:  # of other classes: mmdet draws with colours of its own then
            self._metainfo.pop('palette', None)

    @property
    def _seen(self) -> tuple[str, ...]:
        return self._metainfo['classes']

    @property
    def _keep(self) -> set[str]:
        return set(self._seen if self.keep_classes is None else self.keep_classes)

    @property
    def _kept_names(self) -> list[str]:
        """Classes of :attr:`_keep` in label order."""
        return [name for name in self._seen if name in self._keep]

    @collection_paused()
    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotation file and keep what the step sees.

        Returns:
            mmdet's data infos: ``img_path``, ``img_id``, ``height``, ``width`` and
            ``instances`` with ``bbox`` (x1, y1, x2, y2) and ``bbox_label``.
        """
        stock = self.stock_metric and self.test_mode
        own_id = 'file_id' if stock else 'id'
        coco = read_coco(self.ann_file, stock=stock)
        folder = Path(self.data_prefix['img'] or '.')
        if not folder.is_dir():
            raise FileNotFoundError(
                f'there is no image folder {folder}: expected the images that '
                f'{self.ann_file} names; check data_root and data_prefix'
            )
        self._check_file(coco)
        categories = {c['id']: c['name'] for c in coco['categories']}
        by_name = {name: key for key, name in categories.items()}
        # What mmdet's own parser looks labels up in: seen classes, in label order.
        self.cat_ids = [by_name[name] for name in self._seen]
        self.cat2label = {key: label for label, key in enumerate(self.cat_ids)}

        annotations = _boxes_per_image(coco, self.ann_file)
        labelled = {by_name[name] for name in self._labelled()}
        keep, mode = self._keep, self.split_mode
        # With every class kept, nothing is left out here: empty images are the business
        # of filter_cfg, as in mmdet.
        all_seen = self.test_mode or keep == set(by_name)
        reading = self._reading([image['file_name'] for image in coco['images']])
        data_list = []
        for image in coco['images']:
            # Taken out: the boxes of a large file take more memory than what is kept.
            boxes = annotations.pop(image['id'])
            present = {categories[key] for key in {b['category_id'] for b in boxes}}
            if not (all_seen or image_is_kept(present, keep, mode)):
                continue
            info = self.parse_data_info(
                {
                    'raw_img_info': {**image, 'img_id': image[own_id]},
                    'raw_ann_info': [b for b in boxes if b['category_id'] in labelled],
                }
            )
            data_list.append({**info, **reading})
        self._images_in_file = len(coco['images'])
        return data_list

    def _reading(self, names: Sequence[str]) -> dict[str, Any]:
        """How images are read; all of the file say, so that all steps read alike."""
        folder = Path(self.data_prefix['img'])
        paths = [f'{folder}/{name}' for name in names]
        bits = detect_bits(paths, name=self.ann_file, bits=self.bits)
        if bits is not None:  # checkpoints hold it
            self._metainfo['bits'] = bits
        found = {'exif': self.exif, 'bits': bits}
        return {key: value for key, value in found.items() if value is not None}

    def _check_file(self, coco: dict[str, Any]) -> None:
        found = class_names(coco)
        if not self._declared:
            self._choose_classes(found)
        elif found != self._declared:
            there, wanted = (
                ', '.join(map(visible, n)) for n in (found, self._declared)
            )
            raise ValueError(
                f'{self.ann_file} holds the classes {there}: expected exactly '
                f'{wanted}, in this order; convert the data again, or give '
                'metainfo.classes in the order of the file'
                + self._how_to_learn_some(found)
            )

    def _how_to_learn_some(self, found: Sequence[str]) -> str:
        """The cure for what mmdet takes as a choice of classes."""
        if self.seen_classes is not None or not set(self._declared) < set(found):
            return ''
        return ', all of them, and in seen_classes those to learn'

    def _labelled(self) -> set[str]:
        if self.test_mode or self.split_mode == 'relabel':
            return set(self._seen)
        return self._keep

    def filter_data(self) -> list[dict[str, Any]]:
        """Apply ``filter_cfg`` and leave out broken images.

        Raises:
            ValueError: If none remains, or too many images are broken.
        """
        data_list = self.data_list
        empty = sum(not info['instances'] for info in data_list)
        if not self.test_mode and self.filter_cfg is not None:
            data_list = [info for info in data_list if self._passes(info)]
        if not data_list:
            raise ValueError(
                f'{self.ann_file} has no image with boxes of '
                f'{", ".join(self._kept_names)} (split_mode={self.split_mode!r}): '
                'expected at least one; check the classes of the step, the mode and '
                'the file'
            )
        boxes = self._count_boxes(data_list)
        data_list = self._without_broken(data_list)
        if self._verifies:
            paths = [info['img_path'] for info in data_list]
            warn_of_same(
                paths,
                root=str(self.data_root),
                name=self.ann_file,
                test=self.test_mode,
            )
        print_log(
            f'{type(self).__name__} {self.ann_file}: {len(data_list)} of '
            f'{self._images_in_file} images, classes {", ".join(self._kept_names)}; '
            f'{boxes}; {empty} images without boxes were '
            + ('kept.' if self.test_mode or not self._drops_empty else 'left out.'),
            logger='current',
        )
        return data_list

    def _count_boxes(self, data_list: list[dict[str, Any]]) -> str:
        """Say how many boxes there are to learn or find; refuse to learn from none."""
        flags = [box['ignore_flag'] for info in data_list for box in info['instances']]
        crowds = sum(flags)
        boxes = f'{len(flags) - crowds} boxes'
        if crowds:
            boxes += f' (and {crowds} marked iscrowd, which are ignored)'
        if crowds and crowds == len(flags) and not self.test_mode:
            raise ValueError(
                f'{self.ann_file} has {boxes} of {", ".join(self._kept_names)}: '
                'expected some to learn from; set iscrowd to 0 where a box is one '
                'object (exporters of RLE masks write 1 everywhere)'
            )
        return boxes

    @property
    def _drops_empty(self) -> bool:
        return bool((self.filter_cfg or {}).get('filter_empty_gt', False))

    def _passes(self, info: dict[str, Any]) -> bool:
        if self._drops_empty and not info['instances']:
            return False
        smallest = self.filter_cfg.get('min_size', 0)
        return min(info['width'], info['height']) >= smallest

    @property
    def _verifies(self) -> bool:
        if self.verify_images is None:
            return self._images_in_file <= SMALL
        return self.verify_images

    def _without_broken(self, data_list: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self._verifies:
            reasons, self._decoded = decode_errors(data_list, max_bytes=self._max_bytes)
        else:
            reasons = {i['img_path']: file_error(i['img_path']) for i in data_list}
        if self._verifies and (wrong := unlike_annotated(data_list)):
            raise ValueError(
                f'{self.ann_file}: images that are not what is annotated '
                f'({name_some(wrong)}): expected the annotated size, and values '
                'within bits; give the images that were annotated, correct the '
                "annotations, or say with exif='stored' or 'turned' what an EXIF "
                'orientation means'
            )
        broken = [f'{path} ({why})' for path, why in reasons.items() if why]
        if not broken:
            return data_list
        allowed = 0.0 if self.test_mode else self.max_broken
        found = f'broken images {name_some(broken)}, of {len(data_list)}'
        if len(broken) > allowed * len(data_list):
            raise ValueError(
                f'{found}: expected a fraction of at most {allowed:g} in '
                f'{"testing" if self.test_mode else "training"}; restore the files, '
                'or raise max_broken (training only)'
            )
        print_log(
            f'{found}: left out, tolerated up to a fraction of {allowed:g}.',
            logger='current',
            level=logging.WARNING,
        )
        return [info for info in data_list if reasons[info['img_path']] is None]


def _boxes_per_image(
    coco: dict[str, Any], ann_file: str
) -> dict[int, list[dict[str, Any]]]:
    """Take annotations by image, boxes clipped to it; one warning names the rest."""
    boxes: dict[int, list[dict[str, Any]]] = {i['id']: [] for i in coco['images']}
    annotations, found = boxes_in_frame(coco)
    coco['annotations'] = []  # held by their images from here on
    for annotation in annotations:
        boxes[annotation['image_id']].append(annotation)
    if found:
        print_log(f'{ann_file}: {found}', logger='current', level=logging.WARNING)
    return boxes
