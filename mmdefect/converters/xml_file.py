"""XML that somebody else wrote: read safely, and numbers and text taken from it."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from mmdefect.datasets.boxes.coco_file import MAX_COORDINATE
from mmdefect.utils.text_files import decode_xml, read_bytes


def read_xml(path: Path, what: str, *, max_bytes: int) -> Element:
    """Read a file of XML.

    Args:
        path: The file.
        what: What it should hold, for messages, e.g. ``'Pascal VOC annotations'``.
        max_bytes: Of the file.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it is too large, declares entities or an unknown encoding, or is
            no XML.
    """
    data = read_bytes(path, 'file of annotations', max_bytes=max_bytes)
    try:
        return ElementTree.fromstring(decode_xml(data, path), forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError(
            f'{path} declares XML entities or a document type ({error}): expected '
            'plain annotations; such a file can exhaust the memory and is refused'
        ) from error
    except (ParseError, RecursionError) as error:
        raise ValueError(
            f'{path} is no XML ({error}): expected {what}; get the file again'
        ) from error


def text_in(element: Element, tag: str, path: Path, what: str) -> str:
    """Text of an element below another one, without spaces around it.

    Raises:
        ValueError: If it is missing or empty.
    """
    text = (element.findtext(tag) or '').strip()
    if not text:
        raise ValueError(
            f'{path} has no <{tag}> in <{element.tag}>: expected {what}; complete the '
            'file'
        )
    return text


def number_in(element: Element, tag: str, path: Path, what: str) -> float:
    """Number of pixels in an element below another one; whole ones as ``int``.

    Raises:
        ValueError: If it is missing, or no number of pixels.
    """
    text = text_in(element, tag, path, what)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_COORDINATE:
        raise ValueError(
            f'{path} has {text[:80]!r} as <{tag}>: expected a number of pixels; '
            'correct the file'
        )
    return int(value) if value.is_integer() else value
