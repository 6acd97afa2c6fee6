"""COCO files of a folder, read as those of other tools are."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from mmdefect.converters.annotated import Found, Objects, class_name, read_each
from mmdefect.converters.image_folder import ImageFolder, subset_name
from mmdefect.datasets.boxes.class_split import class_names
from mmdefect.datasets.boxes.coco_file import read_coco


def read_coco_files(folder: ImageFolder, paths: Sequence[Path]) -> Found:
    """Read COCO files; what is marked ``iscrowd`` is no single object and is counted.

    Args:
        folder: The images.
        paths: The JSON files; names such as ``instances_val.json`` say the subset.
    """
    found = Found()

    def read(path: Path, found: Found) -> None:
        coco = read_coco(path)
        found.declare(class_name(n, str(path)) for n in class_names(coco))
        names = {c['id']: c['name'].strip() for c in coco['categories']}
        objects: dict[int, Objects] = defaultdict(list)
        for one in coco['annotations']:
            own = objects[one['image_id']]
            if one['iscrowd']:
                found.passed_over['iscrowd'] += 1
                continue
            x, y, width, height = one['bbox']
            box = (x, y, x + width, y + height)
            own.append((names[one['category_id']], box))
        words = re.split(r'[\W_]+', path.stem)
        subset = next((s for word in words if (s := subset_name(word))), '')
        for image in coco['images']:
            name = image['file_name']
            found.add(
                folder.find(name, path, subset=subset),
                name,
                path,
                objects.get(image['id'], []),
                size=(image['width'], image['height']),
                subset=subset,
                marked=image['id'] in objects,
            )

    read_each(paths, read, found)
    return found
