"""A line as a folder: made whole, opened, told apart from what is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mmdefect.line.folder import Line
from mmdefect.line.settings import LineSettings
from tests.helpers.line_logs import tamper


@pytest.fixture
def line(tmp_path: Path) -> Line:
    return Line.create(tmp_path / 'my_line')


def use(line: Line, version: str) -> None:
    """As a promotion does."""
    (line.versions_dir / version).mkdir(exist_ok=True)
    line.pointer.unlink(missing_ok=True)
    line.pointer.symlink_to(Path('versions') / version)


def test_smoke_made_and_opened(tmp_path: Path) -> None:
    made = Line.create(tmp_path / 'l', settings=LineSettings(keep_images='all'))
    names = {path.name for path in made.folder.iterdir()}
    folders = {'versions', 'exams', 'queue', 'images', 'reports'}
    assert names == {'line.json', 'decisions.db', *folders}
    opened = Line(str(tmp_path / 'l'))
    assert opened.settings == made.settings
    assert opened.current() is None
    assert opened.log.append('note').id == 1
    assert opened.verify().ok


def test_feature_versions(line: Line, tmp_path: Path) -> None:
    use(line, 'v0001')
    use(line, 'v0002')
    assert line.current() == 'v0002'
    assert line.package() == line.versions_dir / 'v0002'
    assert line.package('v0001') == line.versions_dir / 'v0001'
    assert line.version_of(line.pointer) == 'v0002'
    assert line.version_of(line.versions_dir / 'v0001') == 'v0001'
    assert line.version_of(tmp_path) is None


def test_feature_head(line: Line) -> None:
    """It goes forward only, and shows a log that was cut."""
    assert line.head() is None
    line.seal()
    assert line.head() is None
    rows = line.log.append_many([{'kind': 'note'}] * 3)
    assert line.verify().ok
    assert line.head() == {'id': 3, 'hash': rows[-1].hash}
    line.log.close()
    tamper(line.db_path, 'DELETE FROM log WHERE id = 3')
    line.log.rebuild()
    assert line.verify().bad == 3
    with pytest.raises(ValueError, match=r'has not the row 3 .*cut or written anew'):
        line.seal()
    assert line.head() == {'id': 3, 'hash': rows[-1].hash}


def test_feature_lock(line: Line) -> None:
    with (
        line.lock('promote'),
        pytest.raises(ValueError, match='is in use by promote'),
        line.lock('promote'),
    ):
        pass


def test_exception_where_a_line_cannot_be(line: Line, tmp_path: Path) -> None:
    for folder in (line.folder / 'a', line.exams_dir / 'b'):
        with pytest.raises(ValueError, match=f'is inside of the line {line.folder}'):
            Line.create(folder)
    with pytest.raises(FileExistsError, match='my_line holds something already'):
        Line.create(line.folder)
    assert Line(line.folder).log.verify().ok
    (tmp_path / 'empty').mkdir()
    assert Line.create(tmp_path / 'empty').current() is None


def test_exception_what_is_no_line(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'x does not exist \(no line\.json\)'):
        Line(tmp_path / 'x')
    with pytest.raises(FileNotFoundError, match=r'is no line \(no line\.json\)'):
        Line(tmp_path)
    with pytest.raises(ValueError, match='line=None: expected the folder of a line'):
        Line(None)  # type: ignore[arg-type]


def test_exception_versions(line: Line) -> None:
    with pytest.raises(FileNotFoundError, match='my_line has no version yet'):
        line.package()
    for name in ('v0009', '../v0001'):
        with pytest.raises(FileNotFoundError, match=r'has no version .*v000'):
            line.package(name)
    line.pointer.symlink_to('versions/v0003')
    with pytest.raises(ValueError, match='current leads to no version of the line'):
        line.current()
    line.pointer.unlink()
    line.pointer.write_text('v0001')
    with pytest.raises(ValueError, match='current leads to no version of the line'):
        line.current()


def test_exception_a_damaged_head(line: Line) -> None:
    (line.folder / 'head.json').write_text(json.dumps({'id': '3'}))
    with pytest.raises(
        ValueError, match=r'head\.json holds .* expected the id and hash'
    ):
        line.verify()


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write everywhere')
def test_exception_a_folder_that_cannot_be_written(line: Line) -> None:
    line.folder.chmod(0o500)
    try:
        with pytest.raises(OSError, match=r'decisions\.db cannot be read or written'):
            line.log.append('note')
    finally:
        line.folder.chmod(0o700)
    assert line.log.append('note').id == 1


def test_feature_pictures_of_the_queue_stay(tmp_path: Path) -> None:
    """Of `newest`, too, for as long as somebody has to look at them."""
    settings = LineSettings(keep_images='newest', keep_gb=5e-6)
    line = Line.create(tmp_path / 'l', settings=settings)
    images = [f'pixels:{number:064x}' for number in range(20)]
    entry = line.queue_dir / f'pixels-{0:064x}.json'
    entry.write_text('{}')

    def fill(names: list[str]) -> list[str]:
        for age, image in enumerate(names):
            os.utime(line.images.add(image, bytes(1000), suffix='.png'), (age, age))
        return [image for image in images if line.images.find(image)]

    kept = fill(images[:10])
    assert kept[0] == images[0]
    assert 3 <= len(kept) <= 5
    entry.unlink()
    assert images[0] not in fill(images[10:])
