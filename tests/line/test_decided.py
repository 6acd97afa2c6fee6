"""Which decided image is meant, and where its picture is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.line.decided import find_decision, newest_verdict, picture_of
from mmdefect.line.folder import Line
from mmdefect.line.log import Row
from tests.helpers.reviewed_line import decide, draw, make_line


def test_smoke_by_file_hash_source_and_name(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    path = draw(tmp_path / 'a' / 'one.png', 1)
    decide(line, path)
    row = decide(line, path)  # the newest decision is meant
    other = decide(line, draw(tmp_path / 'b' / 'two.png', 2))
    copy = draw(tmp_path / 'elsewhere' / 'named_otherwise.png', 1)
    assert row.image is not None
    path.unlink()
    for name in (copy, row.image, row.image[:8], str(path), 'one.png', 'a/one.png'):
        assert find_decision(line.log, name).id == row.id
    frame = line.log.append(
        'decision', image=f'pixels:{"5" * 64}', source='video.mp4#12', decision='ok'
    )
    for name in ('video.mp4#12', f'pixels:{"5" * 8}'):
        assert find_decision(line.log, name).id == frame.id
    assert find_decision(line.log, 'two.png').id == other.id
    assert newest_verdict(line.log, row.image) is None


def test_exception_several_or_none(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    for folder in ('a', 'b'):
        path = draw(tmp_path / folder / 'one.png', len(folder) + ord(folder))
        decide(line, path)
        path.unlink()
    with pytest.raises(
        ValueError, match=r"'one.png' fits 2: .*b/one.png, [0-9a-f]{64}"
    ):
        find_decision(line.log, 'one.png')
    with pytest.raises(ValueError, match=r"image='ne.png' is no image of the log"):
        find_decision(line.log, 'ne.png')
    with pytest.raises(ValueError, match='is no image of the log'):
        find_decision(line.log, '0' * 64)
    line.log.append('decision', source=f'{tmp_path}/d/empty.png')  # not read
    (tmp_path / 'empty.png').touch()
    for name in ('empty.png', 'd/empty.png', 'unread:00', tmp_path / 'empty.png'):
        with pytest.raises(
            ValueError, match=r'could not be read .*line queue LINE --di'
        ):
            find_decision(line.log, name)
    unknown = draw(tmp_path / 'c' / 'one.png', 7)
    with pytest.raises(ValueError, match=r'no image of the log \(of its name are 2: '):
        find_decision(line.log, unknown)
    with pytest.raises(ValueError, match=r'image=None: expected a file, a hash'):
        find_decision(line.log, None)  # type: ignore[arg-type]


def test_feature_one_source_of_several_images(tmp_path: Path) -> None:
    """A camera that writes the same name again."""
    line = make_line(tmp_path / 'l')
    for seed in range(2):
        decide(line, draw(tmp_path / 'cam.png', seed))
    (tmp_path / 'cam.png').unlink()
    with pytest.raises(ValueError, match=r'fits 2: .*cam\.png'):
        find_decision(line.log, str(tmp_path / 'cam.png'))


def where(line: Line, row: Row) -> Path | None:
    found = picture_of(line, row.image, row.source)
    return None if found is None else found.path


def test_feature_where_pictures_are(tmp_path: Path) -> None:
    """Kept, or where they came from, and not what has taken their name since."""
    kept = make_line(tmp_path / 'kept')
    row = decide(kept, draw(tmp_path / 'a.png', 1))
    path = kept.images.find(str(row.image))
    assert path is not None
    assert where(kept, row) == path
    none = make_line(tmp_path / 'none', keep_images='none')
    row = decide(none, tmp_path / 'a.png')
    assert where(none, row) == tmp_path / 'a.png'
    draw(tmp_path / 'a.png', 2)
    assert where(none, row) is None
    (tmp_path / 'a.png').unlink()
    assert where(none, row) is None
    path.write_bytes(draw(tmp_path / 'b.png', 2).read_bytes())
    with pytest.raises(ValueError, match=r'the kept picture .*\.png was changed'):
        where(kept, row)


def test_feature_the_source_stands_in_for_a_damaged_picture(tmp_path: Path) -> None:
    line = make_line(tmp_path / 'l')
    path = draw(tmp_path / 'one.png')
    row = decide(line, path)
    kept = line.images.find(str(row.image))
    assert kept is not None
    kept.write_bytes(b'')
    found = picture_of(line, row.image, row.source)
    assert found is not None
    assert found.path == path
    path.unlink()
    with pytest.raises(ValueError, match='was changed'):
        picture_of(line, row.image, row.source)


def test_feature_a_source_that_may_not_be_asked_is_gone(tmp_path: Path) -> None:
    """As one in a folder of another user is, or one whose name is too long."""
    line = make_line(tmp_path / 'l')
    long = 300 * 'x'
    row = line.log.append('decision', image='5' * 64, source=long, decision='ok')
    assert picture_of(line, row.image, row.source) is None
    assert find_decision(line.log, long) == row
