"""Text, JSON and XML that somebody else wrote, read with one set of rules.

UTF-8 with or without a byte order mark, UTF-16 and UTF-32 with one; any line ends.
Regular files up to a size only. Everything else is one ``ValueError`` that names the
file.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mmdefect.utils.checks import brief, visible

MAX_TEXT_BYTES = 600_000_000
"""Of a text file; the training annotations of COCO have 470 million."""
MAX_JSON_PARTS = {'{': 5_000_000, '[': 20_000_000, ',': 100_000_000}
"""Most objects, lists and values in a JSON file: what bounds the memory it takes."""
MAX_NAME_BYTES = 255
"""Of each part of a path, as file systems have it."""

_MARKS = (  # the longer ones first: UTF-32 begins like UTF-16
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)
_XML_ENCODINGS = {
    'us-ascii', 'ascii', 'utf-8', 'utf8', 'utf-16', 'gb2312', 'gbk', 'gb18030', 'big5',
    'shift_jis', 'shift-jis', 'euc-jp', 'euc-kr', 'koi8-r', 'latin1', 'latin-1',
    *(f'iso-8859-{number}' for number in (*range(1, 12), 13, 14, 15, 16)),
    *(f'{page}{number}' for page in ('windows-', 'cp') for number in range(1250, 1259)),
}  # fmt: skip
_DECLARED = re.compile(r'\s*<\?xml[^>]*?\sencoding\s*=\s*["\']([^"\']*)["\'][^>]*\?>')


def read_bytes(path: Path, what: str, *, max_bytes: int = MAX_TEXT_BYTES) -> bytes:
    """Read a regular file of bounded size.

    Args:
        what: What it should be, for messages, e.g. ``'split list'``.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is a folder, a device or a pipe, or too large.
    """
    if not path.is_file():
        if not path.exists():
            raise FileNotFoundError(
                f'there is no {what} {path}: expected a file; check the path'
            )
        kind = 'a folder' if path.is_dir() else 'a device or a pipe'
        raise ValueError(
            f'{path} is {kind}: expected the {what}, a regular file; check the path'
        )
    size = path.stat().st_size
    if size > max_bytes:
        raise ValueError(
            f'{path} has {size} bytes: expected at most {max_bytes} for the {what}; '
            'check where the file comes from'
        )
    return path.read_bytes()


def decode_text(data: bytes, source: object, *, encoding: str = 'utf-8') -> str:
    """Turn the bytes of a file into text whose lines end as Python's do.

    Args:
        encoding: Without a byte order mark.

    Raises:
        ValueError: If it is no such text.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), encoding)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b'\n', 0, error.start) + 1
        name = encoding.removesuffix('-sig').upper()
        raise ValueError(
            f'{source} is no {name} text (line {line}, byte {error.start}: '
            f'{error.reason}): expected UTF-8, or UTF-16 with a byte order mark; save '
            'it as UTF-8'
        ) from error
    if '\0' in text:
        raise ValueError(
            f'{source} holds zero bytes, so it is no text, or UTF-16 without a byte '
            'order mark: expected UTF-8; save it as UTF-8'
        )
    return text.replace('\r\n', '\n').replace('\r', '\n') if '\r' in text else text


def read_text_file(
    path: Path, what: str = 'text file', *, max_bytes: int = MAX_TEXT_BYTES
) -> str:
    """Read a text file; see the module for what is accepted.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no regular file, too large or no text.
    """
    return decode_text(read_bytes(path, what, max_bytes=max_bytes), path)


def read_json(
    path: Path, what: str = 'JSON file', kind: type | None = dict, *, cure: str = ''
) -> Any:
    """Read a JSON file.

    Args:
        kind: Type of its content; None for any.
        cure: What to do about an error.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no text, no JSON, too large, or of another type.
    """
    return parse_json(read_text_file(path, what), path, what, kind, cure)


def parse_json(
    text: str, source: object, what: str, kind: type | None = dict, cure: str = ''
) -> Any:
    """Parse JSON; arguments and errors as for :func:`read_json`.

    Args:
        source: Where it comes from, for messages: a file, or a line of one.
        cure: What to do about an error.
    """
    cure = cure or 'write or export it again'
    for mark, most in MAX_JSON_PARTS.items():
        if (found := text.count(mark)) > most:
            raise ValueError(
                f'{source} holds {found} times {mark!r}: expected at most {most} in a '
                f'{what}; split it, or check where it comes from'
            )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            reason = f'is no JSON ({error})'
        elif isinstance(error, RecursionError):
            reason = 'nests lists or objects too deeply'
        else:  # Python's limit on digits
            reason = f'holds a number of too many digits ({error})'
        raise ValueError(f'{source} {reason}: expected a {what}; {cure}') from error
    if kind is not None and not isinstance(content, kind):
        names = {dict: 'object', list: 'list', str: 'text', type(None): 'null'}
        given = names.get(type(content), type(content).__name__)
        raise ValueError(
            f'{source} holds a {given}: expected a {what}, which is one '
            f'{names.get(kind, kind.__name__)}; {cure}'
        )
    return content


def read_csv(path: Path, what: str) -> list[list[str]]:
    """Read the rows of a CSV file; a blank line is an empty row.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is no text, or no CSV.
    """
    try:
        return list(csv.reader(io.StringIO(read_text_file(path, what))))
    except csv.Error as error:
        raise ValueError(
            f'{path} is no CSV ({error}): expected a {what}; write or get it again'
        ) from error


def decode_xml(data: bytes, source: object) -> str:
    """Turn an XML file into text by the encoding that it declares.

    A parser that is given text, not bytes, has nothing to decode: expat knows no
    encoding of several bytes such as gb2312.

    Raises:
        ValueError: If the encoding is unknown, or the file is not in it.
    """
    found = _DECLARED.match(data[:200].decode('latin-1'))
    encoding = found[1].lower() if found else 'utf-8'
    if encoding not in _XML_ENCODINGS:
        raise ValueError(
            f'{source} declares the unknown encoding {encoding!r}: expected one such '
            'as utf-8 or gb2312; save it as UTF-8 and say so in its first line'
        )
    if encoding in ('gb2312', 'gbk'):
        encoding = 'gb18030'  # what such files really hold
    return decode_text(data, source, encoding=encoding)


def inner_path(name: Any, where: str) -> str:
    """The one way to write a path within a folder: slashes, no ``.`` parts.

    Args:
        name: As a file gives it; backslashes, as Windows writes them, are slashes.
        where: What gives it, for messages, e.g. ``'list.txt line 3'``.

    Raises:
        ValueError: If it is no text, empty, absolute, or leads out of the folder.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(
            f'{where} names the file {brief(name)}: expected a path within the folder '
            'of images, as text; correct it'
        )
    slashes = name.replace('\\', '/')
    path = PurePosixPath(slashes)
    absolute = path.is_absolute() or re.match(r'[A-Za-z]:/', slashes)
    if absolute or '..' in path.parts or not path.name:
        raise ValueError(
            f"{where} names the file '{visible(name[:200])}': expected a path within "
            'the folder of images, relative to it and without ".."; move the file '
            'there, or correct the path'
        )
    try:
        longest = max(len(part.encode()) for part in path.parts)
    except UnicodeEncodeError:
        longest = MAX_NAME_BYTES + 1
    if longest > MAX_NAME_BYTES or len(slashes) > 8 * MAX_NAME_BYTES or '\0' in name:
        raise ValueError(
            f'{where} names the file {name[:80]!a}: expected the path of an image '
            f'that a file system can hold, of parts of {MAX_NAME_BYTES} bytes at most '
            'and without zero bytes or half characters; correct it'
        )
    return path.as_posix()
