"""What is kept of a step: budgets, the choice, what stays when classes arrive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from mmdefect.datasets.boxes.memory_file import MANIFEST, Remembered, read_memory
from mmdefect.streams.budget import Budget, budget_of
from mmdefect.streams.memory import (
    check_enough,
    choose,
    keep,
    kept_already,
    seen_in,
    still_kept,
)
from mmdefect.utils.files import write_json

CLASSES = ['dent', 'hole', 'rust']


def image(source: str, *shown: str, size: int = 1000, **more: Any) -> Remembered:
    boxes = [{'bbox': [1.0, 2.0, 9.0, 8.0], 'class': n, 'ignore': 0} for n in shown]
    about = {'kept_for': '', 'step': 0, 'width': 20, 'height': 10, **more}
    return Remembered(source=source, boxes=boxes, bytes=size, **about)


def files(folder: Path, shown: dict[str, list[str]]) -> list[tuple[Remembered, Path]]:
    """Images of 1000 bytes each."""
    folder.mkdir(exist_ok=True)
    found = []
    for name, classes in shown.items():
        path = folder / f'{name}.png'
        path.write_bytes(name.encode().ljust(1000, b'.'))
        found.append((image(path.name, *classes), path))
    return found


@pytest.fixture
def seen(tmp_path: Path) -> list[tuple[Remembered, Path]]:
    """Six images of dents, six of holes, and one of both."""
    shown = {f'd{k}': ['dent'] for k in range(6)} | {'both': ['dent', 'hole']}
    return files(tmp_path / 'seen', shown | {f'h{k}': ['hole'] for k in range(6)})


def names(kept: list[tuple[Remembered, Path]], kept_for: str) -> list[str]:
    return [i.source.removesuffix('.png') for i, _ in kept if i.kept_for == kept_for]


class TestBudget:
    def test_feature_beside_a_batch(self) -> None:
        assert [Budget(images=1).replayed(n) for n in (1, 2, 8, 12)] == [1, 1, 2, 3]
        assert Budget(images=1, share=0.5).replayed(8) == 8

    def test_smoke_nothing(self) -> None:
        assert budget_of(None) is None

    @pytest.mark.parametrize(
        ('settings', 'message'),
        [
            ({}, r'expected one of images, images_mb, crops, drawn, found'),
            ({'images': 3, 'images_mb': 1}, r'found images, images_mb; keep one kind'),
            ({'images': 0}, r'stream.memory.images=0: expected at least 1'),
            ({'images': 2.5}, r'expected a whole number'),
            ({'images_mb': -1}, r'images_mb=-1: expected at least 0'),
            ({'images': 3, 'share': 1}, r'share=1: expected .* at most 0.9'),
            ({'crops': 3, 'interim': 'a'}, r"interim='a' with crops: expected images"),
            ({'images': 3, 'interim_score': 2}, r'interim_score=2: expected'),
            ({'drawn': 0}, r'stream.memory.drawn=0: expected at least 1'),
            ({'drawn': 2, 'iterations': 0}, r'stream.memory.iterations=0: expected'),
            ({'pictures': 3}, r'stream.memory.pictures: expected one of images,'),
        ],
    )
    def test_exception_settings(self, settings: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            budget_of(settings)


class TestChoice:
    def choose(self, seen: list, **more: Any) -> list[tuple[Remembered, Path]]:
        settings = {'budget': Budget(images=3), 'seed': 0, 'share_of': 2, **more}
        return choose(seen, classes=CLASSES[:2], **settings)

    def test_feature_golden(self, seen: list) -> None:
        """By seed and name alone."""
        kept = self.choose(seen)
        assert names(kept, 'dent') == GOLDEN['dent']
        assert names(kept, 'hole') == GOLDEN['hole']
        assert self.choose(seen[::-1]) == kept

    def test_feature_seed(self, seen: list) -> None:
        assert self.choose(seen, seed=1) != self.choose(seen)

    def test_feature_smaller_is_the_beginning(self, seen: list) -> None:
        few = self.choose(seen, budget=Budget(images=2))
        many = self.choose(seen, budget=Budget(images=5))
        assert names(many, 'dent')[:2] == names(few, 'dent')

    def test_feature_kept_once(self, tmp_path: Path) -> None:
        """Boards that show both kinds are kept for one of them."""
        boards = files(tmp_path / 'boards', {f'b{k}': CLASSES[:2] for k in range(4)})
        kept = self.choose(boards)
        assert len(names(kept, 'dent')) == 3
        assert len(names(kept, 'hole')) == 1
        assert len({i.source for i, _ in kept}) == 4

    def test_feature_megabytes(self, seen: list) -> None:
        """4.9 kB for two classes: two images of 1 kB each."""
        kept = self.choose(seen, budget=Budget(images_mb=0.0049))
        assert [len(names(kept, name)) for name in CLASSES[:2]] == [2, 2]

    def test_exception_more_than_there_are(self, seen: list) -> None:
        with pytest.raises(
            ValueError, match=r'images=8: expected at most 7, the images that show dent'
        ):
            self.choose(seen, budget=Budget(images=8))

    def test_exception_below_one_image_a_class(self, seen: list) -> None:
        with pytest.raises(ValueError, match=r'images_mb=0.0015: expected at least'):
            self.choose(seen, budget=Budget(images_mb=0.0015))


class TestKept:
    def keep(self, seen: list, folder: Path, budget: Budget) -> Path:
        classes = CLASSES[:2]
        kept = choose(seen, classes=classes, budget=budget, seed=0, share_of=2)
        keep(folder, kept, step=0, classes=classes, budget=budget, seed=0)
        return folder

    def already(self, folder: Path, **changes: Any) -> Any:
        about = {'step': 0, 'classes': CLASSES[:2], 'budget': Budget(images=3)}
        return kept_already(folder, **{**about, 'seed': 0, **changes})

    def test_feature_manifest(self, seen: list, tmp_path: Path) -> None:
        folder = self.keep(seen, tmp_path / 'memory', Budget(images=3))
        content = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
        assert content['budget'] == {'images': 3}
        assert content['bytes'] == 6000
        assert content['classes'] == CLASSES[:2]
        first = content['images'][0]
        assert first['source'] == f'{GOLDEN["dent"][0]}.png'
        assert first['file'] == f'0_0000_{GOLDEN["dent"][0]}.png'
        assert first['boxes'][0] == {
            'bbox': [1.0, 2.0, 9.0, 8.0], 'class': 'dent', 'ignore': 0,
        }  # fmt: skip
        memory = self.already(folder)
        assert [i.kept_for for i in memory.images] == ['dent'] * 3 + ['hole'] * 3
        assert len(list(folder.iterdir())) == 7

    def test_feature_nothing_yet(self, tmp_path: Path) -> None:
        assert self.already(tmp_path / 'memory') is None

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'seed': 1}, r'chosen with randomness.seed=0: expected 1'),
            ({'step': 1}, r'chosen with step=0: expected 1'),
            (
                {'budget': Budget(images=2)},
                r"stream.memory=\{'images': 3\}: expected \{'images': 2\}",
            ),
            (
                {'classes': ['dent', 'rust']},
                r'another step or stream: expected rust as class 1, it has hole',
            ),
            ({'classes': CLASSES}, r'expected rust as class 2, it has no class'),
        ],
    )
    def test_exception_other(
        self, seen: list, tmp_path: Path, changes: dict, message: str
    ) -> None:
        folder = self.keep(seen, tmp_path / 'memory', Budget(images=3))
        with pytest.raises(ValueError, match=message):
            self.already(folder, **changes)

    def test_feature_carried_over(self, seen: list, tmp_path: Path) -> None:
        """The budget of a class stays; what it is in megabytes shrinks."""
        about = {'classes': CLASSES[:2], 'share_of': 3}
        folder = self.keep(seen, tmp_path / 'whole', Budget(images=3))
        kept = still_kept(folder, budget=Budget(images=3), **about)
        assert names(kept, 'hole') == GOLDEN['hole']
        budget = Budget(images_mb=0.0066)  # three for each of two, two of three
        folder = self.keep(seen, tmp_path / 'shared', budget)
        kept = still_kept(folder, budget=budget, **about)
        assert names(kept, 'dent') == GOLDEN['dent'][:2]
        assert names(kept, 'hole') == GOLDEN['hole'][:2]

    def test_exception_start_from_smaller(self, seen: list, tmp_path: Path) -> None:
        folder = self.keep(seen, tmp_path / 'memory', Budget(images=3))
        with pytest.raises(ValueError, match=r'images=5: expected at most'):
            still_kept(folder, classes=CLASSES[:2], budget=Budget(images=5), share_of=2)

    def test_exception_start_from_images(self, seen: list, tmp_path: Path) -> None:
        folder = self.keep(seen, tmp_path / 'memory', Budget(images=3))
        about = {'classes': CLASSES[:2], 'share_of': 2}
        with pytest.raises(ValueError, match=r"holds \{'images': 3\}: expected what"):
            still_kept(folder, budget=Budget(crops=3), **about)
        with pytest.raises(ValueError, match=r"holds \{'images': 3\}: expected what"):
            still_kept(folder, budget=Budget(drawn=3), **about)

    def test_exception_changed(self, seen: list, tmp_path: Path) -> None:
        folder = self.keep(seen, tmp_path / 'memory', Budget(images=3))
        path = next(folder.glob('*.png'))
        path.write_bytes(b'another')
        with pytest.raises(ValueError, match=rf'{path.name} has changed: expected'):
            self.already(folder)
        path.unlink()
        with pytest.raises(FileNotFoundError, match=rf'{path.name} is gone: expected'):
            self.already(folder)

    def test_exception_manifest(self, seen: list, tmp_path: Path) -> None:
        folder = self.keep(seen, tmp_path / 'memory', Budget(images=3))
        whole = json.loads((folder / MANIFEST).read_text(encoding='utf-8'))
        outside = [{**whole['images'][0], 'file': '../../x.png'}]
        for wrong, message in (
            ({'images': 3}, r'expected the manifest of a memory, found'),
            ({**whole, 'images': outside}, r"'../../x.png': expected one in its own"),
        ):
            write_json(folder / MANIFEST, wrong)
            with pytest.raises(ValueError, match=message):
                read_memory(folder)


class Data:
    """A step's training set of three pictures, each with two dents and a crowd."""

    metainfo: ClassVar[dict] = {'classes': CLASSES}

    def __init__(self, root: Path) -> None:
        self.data_prefix = {'img': str(root)}
        self.paths = [root / f'{k}.png' for k in range(3)]
        for k, path in enumerate(self.paths):
            pixels = np.zeros((10, 20, 3), np.uint8)
            pixels[2:8, 4:9] = 50 + k
            cv2.imwrite(str(path), pixels)

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        boxes = [([4, 2, 9, 8], 0), ([10.4, 0, 12.2, 3], 0), ([0, 0, 9, 9], 1)]
        return {
            'img_path': str(self.paths[index]),
            'width': 20,
            'height': 10,
            'instances': [
                {'bbox': box, 'bbox_label': 0, 'ignore_flag': crowd}
                for box, crowd in boxes
            ],
        }


class TestCrops:
    def test_feature_cut_out(self, tmp_path: Path) -> None:
        """Each object by its box in whole pixels; crowds are none."""
        budget = Budget(crops=6)
        seen = seen_in(Data(tmp_path), 0, budget)
        assert [image.source for image, _ in seen] == [
            f'{k}.png#{box}' for k in range(3) for box in range(2)
        ]
        kept = choose(seen, classes=['dent'], budget=budget, seed=0, share_of=1)
        about = {'step': 0, 'classes': ['dent'], 'budget': budget, 'seed': 0}
        keep(tmp_path / 'memory', kept, **about)
        memory = kept_already(tmp_path / 'memory', **about)
        sizes = {
            image.source[-1]: (image.width, image.height) for image in memory.images
        }
        assert sizes == {'0': (5, 6), '1': (2, 3)}
        first = next(i for i in memory.images if i.source == '2.png#0')
        pixels = cv2.imread(str(tmp_path / 'memory' / first.file))
        assert np.unique(pixels).tolist() == [52]
        assert first.boxes[0]['bbox'] == [0, 0, 5, 6]

    def test_exception_more_than_there_are(self, tmp_path: Path) -> None:
        seen = seen_in(Data(tmp_path), 0, Budget(crops=7))
        with pytest.raises(ValueError, match=r'crops=7: expected at most 6, the crops'):
            check_enough((crop for crop, _ in seen), ['dent'], Budget(crops=7))


GOLDEN = {'dent': ['d0', 'both', 'd3'], 'hole': ['h0', 'h5', 'h3']}
