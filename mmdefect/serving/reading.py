"""From a request to images and wishes. Nothing that it says is trusted."""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import python_multipart  # noqa: F401  # Starlette misses it at the first form only
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from mmdefect.serving.refusal import Refused, sentence_of
from mmdefect.serving.settings import ServerSettings
from mmdefect.utils.checks import visible
from mmdefect.utils.text_files import decode_text, inner_path, parse_json

_WISHES = ('model', 'product', 'threshold', 'everything')
_FIELDS = ('image', 'name', *_WISHES)
_MULTIPART, _JSON = 'multipart/form-data', 'application/json'
_MAX_FIELD = 4096  # bytes of a field of a form that is no file
#: Most of each in a request as JSON: one object, and one number a class.
_MAX_PARTS = {'{': 50, '[': 50, ',': 5000}


@dataclass(frozen=True, kw_only=True)
class Upload:
    """An image as it was sent: what it is called, and its content."""

    name: str
    data: bytes


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a request asks for.

    Attributes:
        uploads: One or more.
        model: Name; None for the only one.
        product: Of the images, for a model of maps.
        threshold: Other than the model's: one for all, or by name.
        everything: Boxes below their threshold, and all probabilities, too.
    """

    uploads: tuple[Upload, ...]
    model: str | None = None
    product: str | None = None
    threshold: float | Mapping[str, float] | None = None
    everything: bool = False


async def read_request(request: Request, settings: ServerSettings) -> Asked:
    """Read what a request asks for, and no more than a server's limits.

    Raises:
        Refused: It is too large, or is not what a request looks like.
    """
    kind = request.headers.get('content-type', '').partition(';')[0].strip().lower()
    query = _query(request)
    body = _bounded(request, settings.max_bytes)
    if kind == _MULTIPART:
        return await _read_form(request, body, query, settings)
    if kind == _JSON:
        whole = b''.join([chunk async for chunk in body])
        return await asyncio.to_thread(_read_json, whole, query)
    raise Refused(
        415,
        'content_type',
        f"Content-Type '{visible(kind)}': expected {_MULTIPART} with the image as "
        f'"file", or {_JSON} with it as "image" in base64',
    )


def _query(request: Request) -> dict[str, Any]:
    wishes: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        _wish(wishes, name, value, known=_WISHES)
    return wishes


def _wish(
    wishes: dict[str, Any], name: str, value: Any, *, known: tuple[str, ...]
) -> None:
    if name not in known:
        raise _bad(f"'{visible(name)}': expected one of {', '.join(known)}")
    if name in wishes:
        raise _bad(f'{name} is given twice: expected once')
    wishes[name] = value


async def _bounded(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The body, cut when it is longer than it may be, whatever its header says."""
    declared = request.headers.get('content-length', '')
    size = int(declared[:18]) if declared.isdigit() else 0
    # A client that asks first is told before it sends anything.
    if size > most and 'expect' in request.headers:
        raise _too_large(most, ended=False)
    found, ended = 0, False
    while not ended and found <= most:
        chunk, ended = await _receive(request)
        found += len(chunk)
        if max(found, size) <= most:
            yield chunk
    if max(found, size) <= most:
        return
    # Most clients listen only when they have sent all, so a little more is thrown away.
    while not ended and found <= 2 * most:
        chunk, ended = await _receive(request)
        found += len(chunk)
    raise _too_large(most, ended=ended)


async def _receive(request: Request) -> tuple[bytes, bool]:
    message = await request.receive()
    if message['type'] == 'http.disconnect':
        raise ClientDisconnect
    return message.get('body', b''), not message.get('more_body', False)


def _too_large(most: int, *, ended: bool) -> Refused:
    return Refused(
        413,
        'body',
        f'the body is too large: expected at most {most} bytes; send fewer or smaller '
        'files, or start the server with a larger max_bytes',
        headers={} if ended else {'Connection': 'close'},
    )


class _Form(MultiPartParser):
    """Starlette's parser, in memory, which tells whether a form is whole."""

    whole = False

    def on_end(self) -> None:
        """The last boundary has been seen."""
        self.whole = True


async def _read_form(
    request: Request,
    body: AsyncGenerator[bytes, None],
    wishes: dict[str, Any],
    settings: ServerSettings,
) -> Asked:
    form = _Form(
        request.headers,
        body,
        max_files=settings.max_files,
        max_fields=len(_WISHES),
        max_part_size=_MAX_FIELD,
    )
    form.spool_max_size = settings.max_bytes  # nothing is written to disk
    try:
        fields = await form.parse()
    except MultiPartException as error:
        raise _bad(f'the form cannot be read ({error.message})') from error
    if not form.whole:
        raise _bad('the form is cut: expected its last boundary; send all of it')
    uploads = []
    for name, value in fields.multi_items():
        if isinstance(value, UploadFile) and name == 'file':
            uploads.append(await _uploaded(value))
        elif isinstance(value, UploadFile):
            raise _bad(f'the file is sent as \'{visible(name)}\': expected "file"')
        else:
            _wish(wishes, name, value, known=_WISHES)
    if not uploads:
        raise _bad('no file: expected one as "file", with a file name')
    return _asked(wishes, uploads)


async def _uploaded(file: UploadFile) -> Upload:
    data = await file.read()
    await file.close()
    return Upload(name=_name(file.filename), data=data)


def _read_json(body: bytes, wishes: dict[str, Any]) -> Asked:
    try:
        text = decode_text(body, 'the body')
        for mark, most in _MAX_PARTS.items():
            if text.count(mark) > most:
                raise _bad(f'the body holds too many {mark!r}: expected at most {most}')
        content = parse_json(text, 'the body', 'request as JSON', cure='correct it')
    except ValueError as error:
        raise _bad(sentence_of(error)) from error
    for name, value in content.items():
        if value is not None:
            _wish(wishes, name, value, known=_FIELDS)
    image = wishes.pop('image', None)
    if not isinstance(image, str) or not image:
        raise _bad('image: expected the content of an image file in base64')
    try:
        data = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(f'image is no base64 ({error}): send it in one line') from error
    return _asked(wishes, [Upload(name=_name(wishes.pop('name', 'image')), data=data)])


def _name(name: Any) -> str:
    """A name is told back, and never a path on this machine."""
    try:
        return visible(inner_path(name, 'the request'))
    except ValueError as error:
        raise _bad(sentence_of(error)) from error


def _asked(wishes: dict[str, Any], uploads: list[Upload]) -> Asked:
    for name in ('model', 'product'):
        value = wishes.get(name)
        if value is not None and not isinstance(value, str):
            raise _bad(f'{name}: expected text')
    wishes['threshold'] = _threshold(wishes.get('threshold'))
    wishes['everything'] = _flag('everything', wishes.get('everything', False))
    return Asked(uploads=tuple(uploads), **wishes)


def _flag(name: str, value: Any) -> bool:
    known = {'true': True, '1': True, 'false': False, '0': False}
    text = str(value).lower()
    if text not in known:
        raise _bad(f'{name}={visible(str(value))}: expected true or false')
    return known[text]


def _threshold(value: Any) -> float | dict[str, float] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        return {name: _number(one) for name, one in value.items()}
    return _number(value)


def _number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise _bad(
            f'threshold={visible(str(value))}: expected a number, or in JSON an object '
            'of one a class'
        )
    return number


def _bad(sentence: str) -> Refused:
    return Refused(400, 'request', sentence)
