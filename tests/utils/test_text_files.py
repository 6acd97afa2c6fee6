from __future__ import annotations

from pathlib import Path

import pytest

from mmdefect.utils.text_files import (
    decode_xml,
    inner_path,
    parse_json,
    read_json,
    read_text_file,
)


@pytest.mark.parametrize(
    'encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-32', 'utf-16-le', 'utf-16-be']
)
def test_smoke(tmp_path: Path, encoding: str) -> None:
    text = 'Schräge\n划痕\nlast'
    mark = '\ufeff' if encoding in ('utf-16-le', 'utf-16-be') else ''
    data = (mark + text).replace('\n', '\r\n').encode(encoding)
    (tmp_path / 'a.txt').write_bytes(data)
    assert read_text_file(tmp_path / 'a.txt') == text


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (
            'a\nSchräge'.encode('latin-1'),
            r'is no UTF-8 text \(line 2, byte 6: .*save it',
        ),
        (
            'abc'.encode('utf-16-le'),
            'holds zero bytes.*UTF-16 without a byte order mark',
        ),
        (b'\xff\xfea', 'is no UTF-16 text'),
    ],
)
def test_exception_no_text(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / 'a.txt').write_bytes(data)
    with pytest.raises(ValueError, match=message) as error:
        read_text_file(tmp_path / 'a.txt')
    assert str(error.value).startswith(str(tmp_path / 'a.txt'))


def test_exception_too_large(tmp_path: Path) -> None:
    (tmp_path / 'a.txt').write_text('abcdef', encoding='utf-8')
    with pytest.raises(
        ValueError, match='has 6 bytes: expected at most 5 for the list'
    ):
        read_text_file(tmp_path / 'a.txt', 'list', max_bytes=5)


def test_exception_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'there is no split list .*a\.txt'):
        read_text_file(tmp_path / 'a.txt', 'split list')
    with pytest.raises(ValueError, match='is a folder: expected the split list'):
        read_text_file(tmp_path, 'split list')


def test_feature_json(tmp_path: Path) -> None:
    (tmp_path / 'a.json').write_bytes(b'\xef\xbb\xbf[1, 2]')
    assert read_json(tmp_path / 'a.json', kind=list) == [1, 2]
    assert read_json(tmp_path / 'a.json', kind=None) == [1, 2]
    with pytest.raises(ValueError, match='a list: expected a plan, which is one ob'):
        read_json(tmp_path / 'a.json', 'plan')
    with pytest.raises(ValueError, match=r'a\.json holds a int: expected a plan'):
        parse_json('1', 'a.json', 'plan')


def test_feature_xml() -> None:
    body = '<?xml version="1.0" encoding="{}"?><a>划痕</a>'
    for declared, stored in (
        ('GB2312', 'gb2312'),
        ('utf-8', 'utf-8'),
        ('big5', 'big5hkscs'),
        ('utf-8', 'utf-16'),  # the mark wins
    ):
        text = body.format(declared)
        assert decode_xml(text.encode(stored, 'replace'), 'a.xml') in (
            text,
            text.replace('划', '?'),
        )
    assert decode_xml('<a>ä</a>'.encode(), 'a.xml') == '<a>ä</a>'


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (
            b'<?xml version="1.0" encoding="zip"?><a/>',
            "declares the unknown encoding 'zip'",
        ),
        (b'<?xml version="1.0" encoding="gb2312"?>\xff\xff', 'is no GB18030 text'),
        (b'<a>\xff</a>', 'is no UTF-8 text'),
    ],
)
def test_exception_xml(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f'^a.xml {message}'):
        decode_xml(data, 'a.xml')


@pytest.mark.parametrize(
    ('name', 'path'),
    [
        ('a/b.png', 'a/b.png'),
        ('.\\a\\\\b.png', 'a/b.png'),
        ('a/./b c.png', 'a/b c.png'),
    ],
)
def test_feature_paths_are_written_in_one_way(name: str, path: str) -> None:
    assert inner_path(name, 'x') == path


@pytest.mark.parametrize(
    'name',
    ['../a', 'a/../a', '/a', '\\a', 'C:\\a', 'c:/a', '.', '', ' ', None, 'a\0', 5],
)
def test_exception_paths(name: object) -> None:
    with pytest.raises(ValueError, match=r'^list line 3 names the file .*: expected'):
        inner_path(name, 'list line 3')
