"""Pictures from everywhere: which, in which order, how many at a time."""

from __future__ import annotations

import re
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from mmdefect.deploy.ahead import read_ahead
from mmdefect.deploy.sources import Frame, count_frames, open_frames, read_image
from tests.helpers.image_files import ACCEPTED, BGR, REFUSED, with_exif, written

IMAGE = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)


def png(path: Path, image: np.ndarray = IMAGE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


def video(path: Path, frames: int = 5) -> Path:
    code = cv2.VideoWriter.fourcc(*'MJPG')
    writer = cv2.VideoWriter(str(path), code, 10, (32, 24))
    for number in range(frames):
        writer.write(np.full((24, 32, 3), 40 * number, np.uint8))
    writer.release()
    return path


def sources(inputs: Any) -> list[str]:
    return [frame.source for frame in open_frames(inputs)]


def test_smoke_path_and_array(tmp_path: Path) -> None:
    path = png(tmp_path / 'a.png')
    for given in (path, str(path)):
        (frame,) = open_frames(given)
        assert frame.source == str(path)
        assert frame.error is None
        np.testing.assert_array_equal(frame.image, IMAGE)
    (frame,) = open_frames(IMAGE)
    assert frame.source == 'array 0'
    np.testing.assert_array_equal(frame.image, IMAGE)


@pytest.mark.parametrize('shape', [(6, 8), (6, 8, 1), (6, 8, 4)])
def test_shape_arrays_become_bgr(shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    (frame,) = open_frames(array)
    wanted = array[..., :3] if shape[-1] == 4 else np.dstack([array] * 3)
    np.testing.assert_array_equal(frame.image, wanted)


def test_feature_folder_is_sorted_with_those_in_it(tmp_path: Path) -> None:
    names = ['b/2.JPG', 'b/10.png', 'c.tif', 'a/ä ö/x.bmp', 'z.png']
    for name in names:
        png(tmp_path / name)
    (tmp_path / 'notes.txt').write_text('no image', encoding='utf-8')
    png(tmp_path / '.hidden/h.png')
    (tmp_path / '._z.png').write_bytes(b'of another system')
    found = [str(Path(s).relative_to(tmp_path)) for s in sources(tmp_path)]
    assert found == ['a/ä ö/x.bmp', 'b/10.png', 'b/2.JPG', 'c.tif', 'z.png']
    assert count_frames(tmp_path) == 5


def test_feature_link_to_a_folder_above(tmp_path: Path) -> None:
    png(tmp_path / 'a/x.png')
    (tmp_path / 'a/again').symlink_to(tmp_path, target_is_directory=True)
    assert sources(tmp_path) == [str(tmp_path / 'a/x.png')]


def test_feature_globs(tmp_path: Path) -> None:
    for name in ('one/1.png', 'one/2.jpg', 'two/3.png', 'odd[1].png'):
        png(tmp_path / name)
    (tmp_path / 'one/1.json').write_text('{}', encoding='utf-8')
    cases = {
        'one/*': ['one/1.png', 'one/2.jpg'],
        'one/1.*': ['one/1.png'],
        '*/*.png': ['one/1.png', 'two/3.png'],
        '**/*.png': ['odd[1].png', 'one/1.png', 'two/3.png'],
        't*': ['two/3.png'],
        'odd[1].png': ['odd[1].png'],
    }
    for pattern, wanted in cases.items():
        found = [
            str(Path(s).relative_to(tmp_path)) for s in sources(tmp_path / pattern)
        ]
        assert found == wanted, pattern


def test_feature_lists_mix_everything(tmp_path: Path) -> None:
    one, folder = png(tmp_path / 'one.png'), tmp_path / 'folder'
    png(folder / 'two.png')
    found = list(open_frames([one, IMAGE, folder, 'no/such.png', np.zeros((2, 2))]))
    assert [frame.source for frame in found] == [
        str(one),
        'array 1',
        str(folder / 'two.png'),
        'no/such.png',
        'array 4',
    ]
    assert [frame.error is None for frame in found] == [True] * 3 + [False] * 2
    assert found[3].error == (
        'no/such.png does not exist: expected an image, a folder, a glob, a video or '
        'the number of a camera; check the path'
    )
    assert 'float64: expected (height, width, 3)' in str(found[4].error)
    assert count_frames([one, IMAGE]) == 2
    assert count_frames([one, tmp_path / 'x.avi']) is None


def test_feature_video(tmp_path: Path) -> None:
    path = video(tmp_path / 'line.avi')
    found = list(open_frames(path))
    assert [frame.source for frame in found] == [f'{path}#{k}' for k in range(5)]
    assert [int(np.median(frame.image)) // 10 for frame in found] == [0, 4, 8, 12, 16]
    assert found[0].image.shape == (24, 32, 3)


class Camera:
    """Three pictures, then it is unplugged."""

    def __init__(self, _: Any) -> None:
        self.left = 3

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return (True, IMAGE) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.left = -1


def test_feature_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('cv2.VideoCapture', Camera)
    found = list(open_frames(0))
    assert [frame.source for frame in found] == [f'camera 0#{k}' for k in range(4)]
    assert found[3].error == 'camera 0 gives no more pictures: connect it again'


def test_feature_files_of_all_kinds(tmp_path: Path) -> None:
    """What training reads is read, what it refuses is a frame with a sentence."""
    good = written(
        tmp_path / 'good', {name: data for name, (data, _) in ACCEPTED.items()}
    )
    for name, path in good.items():
        (frame,) = open_frames(path)
        assert frame.image is not None, frame.error
        wanted = ACCEPTED[name][1]
        if wanted is not None:
            np.testing.assert_array_equal(frame.image, wanted)
    bad = written(tmp_path / 'bad', {name: entry[0] for name, entry in REFUSED.items()})
    for path in bad.values():
        (frame,) = open_frames(path)
        assert frame.image is None
        assert str(frame.error).startswith(f'cannot read the image {path} (')
        assert '\n' not in str(frame.error)


@pytest.mark.parametrize('orientation', range(2, 9))
def test_feature_exif_is_shown_as_viewers_show_it(
    orientation: int, tmp_path: Path
) -> None:
    from PIL import Image, ImageOps

    path = tmp_path / 'turned.png'
    path.write_bytes(
        with_exif('PNG', orientation, np.ascontiguousarray(BGR[..., ::-1]))
    )
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(path)))[..., ::-1]
    np.testing.assert_array_equal(read_image(path), wanted)


def test_feature_twelve_bits(tmp_path: Path) -> None:
    image = np.linspace(0, 4095, 48).reshape(6, 8).astype(np.uint16)
    path = png(tmp_path / 'deep.png', image)
    (frame,) = open_frames(path)
    assert str(frame.error).endswith(
        'give bits=12 (--bits 12; for a line, to the datasets of training), or what '
        'your camera has'
    )
    (frame,) = open_frames(path, bits=12)
    assert frame.image.max() == 255


def test_feature_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    head = b'IHDR' + struct.pack('>IIBBBBB', 50_000, 50_000, 8, 0, 0, 0, 0)
    body = struct.pack('>I', len(head) - 4) + head
    body += struct.pack('>I', zlib.crc32(head)) + b'\0\0\0\0IDAT'
    path = tmp_path / 'huge.png'
    path.write_bytes(b'\x89PNG\r\n\x1a\n' + body)
    (frame,) = open_frames(path)
    assert '50000x50000 is 2500000000 pixels, above the limit' in str(frame.error)
    assert 'MMDEFECT_MAX_PIXELS=2500000000' in str(frame.error)


@pytest.mark.parametrize(
    ('make', 'kind', 'message'),
    [
        (lambda d: d / 'none', FileNotFoundError, 'none does not exist: expected an '),
        (lambda d: d / '*.png', FileNotFoundError, r'nothing matches .*\*\.png'),
        (lambda d: d, ValueError, r'holds no images: expected \.png'),
        (lambda d: [], ValueError, r'inputs=\[\]: expected one picture'),
        (lambda d: 3.5, TypeError, 'inputs of type float: expected a path'),
        (lambda d: {'a': 1}, TypeError, 'inputs of type dict: expected a path'),
        (lambda d: torch.zeros(4, 4, 3), TypeError, 'inputs of type Tensor: expected'),
        (lambda d: np.zeros((4, 4, 3)), ValueError, 'float64: expected'),
        (lambda d: np.zeros((1, 4, 4, 3), np.uint8), ValueError, 'expected'),
        (lambda d: np.zeros((0, 4, 3), np.uint8), ValueError, 'expected'),
        (lambda d: -1, OSError, 'camera -1 does not open'),
    ],
)
def test_exception_before_anything_runs(
    make: Any, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=message) as caught:
        open_frames(make(tmp_path))
    assert '\n' not in str(caught.value)


def test_exception_video_without_frames(tmp_path: Path) -> None:
    path = tmp_path / 'empty.mp4'
    path.write_bytes(b'')
    with pytest.raises(ValueError, match=re.escape(f'{path} has no frames')):
        open_frames(path)


def test_exception_odd_thing_in_a_list() -> None:
    frames = open_frames([IMAGE, None])
    next(frames)
    with pytest.raises(TypeError, match='inputs of type NoneType'):
        next(frames)


def frame_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == 'frames']


def test_feature_read_ahead_in_order_and_in_bounds() -> None:
    made: list[int] = []

    def frames() -> Iterator[Frame]:
        for number in range(50):
            made.append(number)
            yield Frame(source=str(number))

    ahead = read_ahead(frames(), size=3)
    for number, frame in enumerate(ahead):
        assert frame.source == str(number)
        time.sleep(0.001)
        # One is with us, three wait, one wants a place.
        assert len(made) <= number + 5
    assert len(made) == 50
    assert not frame_threads()


def test_feature_closing_ends_the_thread() -> None:
    closed = threading.Event()

    def frames() -> Iterator[Frame]:
        try:
            while True:
                yield Frame(source='again')
        finally:
            closed.set()

    ahead = read_ahead(frames(), size=2)
    next(ahead)
    assert frame_threads()
    ahead.close()
    assert closed.is_set()
    assert not frame_threads()


def test_exception_of_the_callers_generator_arrives() -> None:
    def frames() -> Iterator[Frame]:
        yield Frame(source='first')
        raise KeyError('the line has stopped')

    ahead = read_ahead(frames(), size=2)
    assert next(ahead).source == 'first'
    with pytest.raises(KeyError, match='the line has stopped'):
        next(ahead)


def test_feature_links_between_folders(tmp_path: Path) -> None:
    """Each image once, by its real name, however the folders lead to each other."""
    count = 11
    for one in range(count):
        png(tmp_path / f'mesh/{one}/x.png')
        for other in range(count):
            link = tmp_path / f'mesh/{one}/to {other}'
            link.symlink_to(tmp_path / f'mesh/{other}', target_is_directory=True)
    wanted = sorted(str(tmp_path / f'mesh/{one}/x.png') for one in range(count))
    assert sources(tmp_path / 'mesh') == wanted
    assert count_frames(tmp_path / 'mesh') == count
    for pattern in ('**/*.png', 'mesh/**/x.png', 'm*/**', '**/**/*', 'mesh/*'):
        assert sources(tmp_path / pattern) == wanted, pattern
    # Through a link where nothing else leads; a link to itself is no folder.
    png(tmp_path / 'elsewhere/y.png')
    (tmp_path / 'one').mkdir()
    (tmp_path / 'one/away').symlink_to('../elsewhere', target_is_directory=True)
    (tmp_path / 'one/round.png').symlink_to('round.png')
    found = list(open_frames(tmp_path / 'one/**/*.png'))
    names = [str(Path(f.source).relative_to(tmp_path / 'one')) for f in found]
    assert names == ['away/y.png', 'round.png']
    assert 'cannot read the image' in str(found[1].error)
    assert len(sources(tmp_path / 'one')) == 2


def test_feature_globs_of_hidden_and_relative_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('in/.hidden/1.png', 'in/2.png', 'in/.3.png', '4.png'):
        png(tmp_path / name)
    monkeypatch.chdir(tmp_path / 'in')
    assert sources('*.png') == ['2.png']
    assert sources('../*.png') == ['../4.png']
    assert sources('.*/*.png') == ['.hidden/1.png']
    assert sources('.[0-9]*') == ['.3.png']
    with pytest.raises(FileNotFoundError, match='nothing matches'):
        sources('2.png/*')


def test_exception_odd_names_and_numbers(tmp_path: Path) -> None:
    """What moves the cursor of a terminal is written as its code."""
    path = tmp_path / 'a\x1b[2J\nb.png'
    path.write_bytes(b'no image')
    (frame,) = open_frames(path)
    assert frame.source == str(path)
    assert r'a\x1b[2J\nb.png' in str(frame.error)
    with pytest.raises(FileNotFoundError, match=r'c\\x1b\.png does not exist'):
        open_frames(tmp_path / 'c\x1b.png')
    with pytest.raises(OSError, match=r'^camera 9{20} does not open'):
        open_frames(int('9' * 20))
