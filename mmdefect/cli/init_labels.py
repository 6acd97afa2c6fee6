"""``mmdefect init labels``: a classifier of defective and good parts."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmdefect.cli.init_folders import (
    Labelled,
    class_folders,
    draw_subsets,
    good_folder,
)
from mmdefect.cli.init_images import Looked, look
from mmdefect.cli.init_plan import (
    MOBILENET,
    Plan,
    data_folder,
    literal,
    names_literal,
    noted,
    random_backbone,
    weights_note,
)
from mmdefect.converters.box_split import twins
from mmdefect.converters.image_folder import ImageFolder
from mmdefect.utils.checks import name_some

BASE = 'mmdefect::casting/mobilenet-v2_casting.py'
SHARES = {'val': 0.15, 'test': 0.15}
"""Shares of the images for validation and test where no folders say so."""
FEW = 20
"""Images of a class below which there is a warning."""
ITERATIONS = 1000
"""Least length of a training."""


def plan(args: argparse.Namespace) -> Plan:
    """Sort images by the folders of their classes and write the config's text.

    Args:
        args: As :func:`mmdefect.cli.init.add_arguments` describes them.
    """
    result = Plan(args.out, args.force)
    folder = ImageFolder(args.data)
    images, loose = class_folders(folder.names)
    folders = sorted({image.folder for image in images})
    _check_lines([image.name for image in images])
    if len(folders) < 2:
        raise ValueError(
            f'{args.data} holds {len(folders)} folders of images '
            f'({name_some(folders)}): expected a folder a class, such as ok and '
            'defective, here or below train, val and test; sort the images'
        )
    good = good_folder(folders, args.good)
    others = [name for name in folders if name != good]
    classes = [others[0] if len(others) == 1 else 'defective', good]
    looked = look(args.data, [image.name for image in images])
    result.errors = looked.errors
    if result.errors:
        return result
    subsets, note = split(images, args.data, seed=args.seed)
    counts = {s: _counts(images, subsets, s, good) for s in ('train', 'val', 'test')}
    result.found = _found(counts, classes, others, note)
    result.found += [*looked.found(), *folder.passed_over()]
    if loose:
        result.found.append(f'in no folder of a class, left out: {name_some(loose)}')
    result.warnings = [*_warnings(counts, classes, looked), *looked.warnings()]
    result.warnings += _in_both(images, args.data, good)
    absent = weights_note(MOBILENET)
    result.warnings += [absent] if absent else []
    result.files = {
        f'{subset}.txt': _lines(images, subsets, subset, good)
        for subset in ('train', 'val', 'test')
        if sum(counts[subset])
    }
    result.config = config_text(
        args, classes, result.files, sum(counts['train']), pretrained=absent is None
    )
    return result


def split(
    images: Sequence[Labelled], root: Path, *, seed: int
) -> tuple[Mapping[str, str], str]:
    """Subset of each image, and where it comes from.

    Raises:
        ValueError: If only some images stand in folders of subsets.
    """
    said = Counter(image.subset for image in images)
    groups = twins(root, [image.name for image in images])
    twin = [name for group in groups for name in group]
    note = f'; identical files, {name_some(twin)}, all in training' if twin else ''
    if set(said) == {''}:
        drawn = draw_subsets(images, SHARES, seed=seed, train_only=twin)
        shares = ', '.join(f'{share:g} for {name}' for name, share in SHARES.items())
        return drawn, f'split by image, {shares}, seed {seed}{note}'
    if '' in said or 'train' not in said:
        raise ValueError(
            f'{root} holds images in folders of subsets ({dict(said)}) and not all of '
            'them: expected train, val and test, or none; sort the rest'
        )
    own = {image.name: image.subset for image in images}
    if 'val' in said:
        return own, 'split as the folders are'
    training = [image for image in images if image.subset == 'train']
    val = {'val': SHARES['val']}
    own |= draw_subsets(training, val, seed=seed, train_only=twin)
    return own, f'split as the folders are, validation of train with seed {seed}{note}'


def _check_lines(names: Sequence[str]) -> None:
    """Refuse names that the lists of mmpretrain, a line an image, cannot hold.

    Raises:
        ValueError: If there are some; it names them.
    """
    bad = [name for name in names if [name.lstrip()] != name.splitlines()]
    if bad:
        raise ValueError(
            f'images whose path begins with a space or holds the end of a line '
            f'({name_some(bad)}): expected neither, as lists have a line an image; '
            'rename the files or folders'
        )


def _counts(
    images: Sequence[Labelled], subsets: Mapping[str, str], subset: str, good: str
) -> tuple[int, int]:
    own = [image.folder for image in images if subsets[image.name] == subset]
    return len(own) - own.count(good), own.count(good)


def _lines(
    images: Sequence[Labelled], subsets: Mapping[str, str], subset: str, good: str
) -> str:
    """The list of a subset: an image and its label a line."""
    own = (image for image in images if subsets[image.name] == subset)
    return ''.join(f'{image.name} {int(image.folder == good)}\n' for image in own)


def _found(
    counts: Mapping[str, tuple[int, int]],
    classes: Sequence[str],
    others: Sequence[str],
    note: str,
) -> list[str]:
    lines = [
        f'{subset}: {sum(own)} images ({classes[0]} {own[0]}, {classes[1]} {own[1]})'
        for subset, own in counts.items()
        if sum(own)
    ]
    if len(others) > 1:
        lines.append(f'defective are: {", ".join(others)}')
    return [*lines, f'defective class: {classes[0]}, good: {classes[1]}', note]


def _warnings(
    counts: Mapping[str, tuple[int, int]], classes: Sequence[str], looked: Looked
) -> list[str]:
    found = []
    few = [
        f'{name} {number}'
        for name, number in zip(classes, counts['train'], strict=True)
        if number < FEW
    ]
    if few:
        found.append(
            f'classes with fewer than {FEW} images in training ({name_some(few)}): '
            'scores will be chance; take more'
        )
    bare = [
        f'{subset} {name}'
        for subset, own in counts.items()
        for name, number in zip(classes, own, strict=True)
        if sum(own) and not number
    ]
    if bare:
        found.append(
            f'subsets without an image of a class ({name_some(bare)}): scores of them '
            'say nothing; take more images'
        )
    if looked.deep:
        found.append(
            f'images of 16 bits ({name_some(looked.deep)}): the loader of classifiers '
            'keeps the upper eight of them; save those of 12-bit cameras as 8 bits'
        )
    return found


def _in_both(images: Sequence[Labelled], root: Path, good: str) -> list[str]:
    """A sentence that names files that are good and defective at once."""
    is_good = {image.name: image.folder == good for image in images}
    both = [
        ' = '.join(group)
        for group in twins(root, list(is_good))
        if len({is_good[name] for name in group}) > 1
    ]
    if not both:
        return []
    return [
        f'files that are good and defective at once ({name_some(both)}): one of each '
        'is sorted wrongly; remove it'
    ]


_CONFIG = """\
{about}
_base_ = {base!r}

# In label order: 0 is the defective class.
classes = {classes}{model}

# The size that the network was pretrained with. Parts are seen mirrored, slightly
# turned and in other light; leave out what changes what they are.
size = dict(type='Resize', scale=(224, 224))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    size,
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(
        type='mmdefect.RandomRigid', rotate=10, translate=0.05,
        scale=(0.95, 1.05), border='reflect'),
    dict(type='ColorJitter', brightness=0.2, contrast=0.2),
    dict(type='PackInputs'),
]
images = dict(
    _delete_=True, type='CustomDataset', data_root='', classes=classes,
    data_prefix={root})
train_dataloader = dict(
    batch_size={batch},
    dataset=dict(images, ann_file={train},
                 pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(images, ann_file={val},
                 pipeline=_base_.test_pipeline))
test_dataloader = dict(
    dataset=dict(images, ann_file={test},
                 pipeline=_base_.test_pipeline))
del size, images

{schedule}
max_epochs = {epochs}
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr={rate:g}))
auto_scale_lr = dict(base_batch_size={batch})
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], end=max_epochs)]
"""


def config_text(
    args: argparse.Namespace,
    classes: Sequence[str],
    files: Mapping[str, str],
    training: int,
    *,
    pretrained: bool,
) -> str:
    """The config.

    Args:
        args: Of the command.
        classes: The defective one, then the good one.
        files: Names of the lists that are written.
        training: Number of training images.
        pretrained: Whether weights to start from are there.
    """
    batch = max(min(32, training // 4), 2)
    steps = math.ceil(training / batch)
    least = 20 if pretrained else 50
    how = 'the rate of the preset' if pretrained else 'a rate for random weights'
    test = 'test' if 'test.txt' in files else 'val'
    data = data_folder(args.out)
    train, val, test = (literal(data / f'{s}.txt') for s in ('train', 'val', test))
    return _CONFIG.format(
        about=noted(
            f'Is a part {classes[0]}? Images of {args.data.as_posix()}, by mmdefect '
            'init. Paths are relative to the folder where training is started.'
        ),
        base=BASE,
        classes=names_literal(classes),
        model='' if pretrained else random_backbone('Random weights'),
        root=literal(args.data),
        batch=batch,
        train=train,
        val=val,
        test=test,
        schedule=noted(
            f'{training} images are {steps} iterations of {batch} an epoch; {how}. '
            'It stops earlier when validation has not got better for eight epochs.'
        ),
        epochs=min(max(math.ceil(ITERATIONS / steps), least), 100),
        rate=5e-5 if pretrained else 1e-3,
    )
