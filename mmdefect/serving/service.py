"""What a server does with a request, without a word of HTTP's routes."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from mmdefect.deploy.decision import failed
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.spec import ModelSpec
from mmdefect.line.status import status as line_status
from mmdefect.serving.looking import look, spec_for
from mmdefect.serving.metrics import Metrics
from mmdefect.serving.models import Model, Models, PackageError
from mmdefect.serving.reading import Asked, Upload, read_request
from mmdefect.serving.refusal import Refused, sentence_of
from mmdefect.serving.settings import ServerSettings
from mmdefect.serving.work import Place, Work
from mmdefect.utils.checks import visible

_LOG = logging.getLogger('mmdefect.serving')
_FOLLOW = 1.0  # seconds between two looks at which version a line uses
# Seconds after which a version that did not open is tried again, at first and at most.
_PAUSE, _LONGEST = 2.0, 300.0


class Service:
    """Models, threads and counters of one server.

    Args:
        models: That are open.
        settings: Its limits.
    """

    def __init__(self, models: Models, settings: ServerSettings) -> None:
        self.models = models
        self.settings = settings
        self.work = Work(concurrency=settings.concurrency, queue=settings.queue)
        behind = None if models.line is None else lambda: models.wanted() is not None
        self.metrics = Metrics(self.work, behind=behind)
        self._reloading = asyncio.Lock()

    def is_ready(self) -> bool:
        """Whether a thread is left that answers in time."""
        return not self.work.is_stuck(self.settings.timeout)

    async def check_token(self, request: Request) -> None:
        """Refuse who does not know the token, if there is one.

        Raises:
            Refused: It is missing or another.
        """
        if self.settings.token is None:
            return
        kind, _, given = request.headers.get('authorization', '').partition(' ')
        # In a time that does not tell how much of it was right.
        same = hmac.compare_digest(given.encode(), self.settings.token.encode())
        if kind.lower() != 'bearer' or not same:
            raise Refused(
                401,
                'token',
                'token missing or wrong: expected "Authorization: Bearer TOKEN"',
                headers={'WWW-Authenticate': 'Bearer'},
            )

    async def predict(self, request: Request) -> dict[str, Any]:
        """Look at all images of a request.

        Raises:
            Refused: There is no result.
        """
        began = time.monotonic()
        name, status = '', 500
        try:
            with self.work.enter() as place:
                asked = await self._read(request)
                model = self.models.get(asked.model)
                name = model.name
                left = self.settings.timeout - (time.monotonic() - began)
                predictions = await self._look(place, model, asked, left)
            status = 200
        except Refused as refused:
            status = refused.status
            raise
        except ClientDisconnect:
            status = 400
            raise
        finally:
            self.metrics.request(name, status, time.monotonic() - began)
        version = {} if model.recorder is None else {'version': model.recorder.version}
        return {'model': name, **version, 'predictions': predictions}

    async def reload(self, name: str | None) -> list[str]:
        """Open a package again, or all, while the old ones serve.

        Returns:
            The names of those that were replaced.

        Raises:
            Refused: One does not open: it goes on as it was. The others are replaced.
        """
        names = self.models.names if name is None else [self.models.get(name).name]
        done, wrong = [], []
        async with self._reloading:
            for one in names:
                try:
                    await asyncio.to_thread(self.models.reload, one)
                except PackageError as error:
                    wrong.append(sentence_of(error))
                else:
                    done.append(one)
                self.metrics.reload(one, 'replaced' if one in done else 'kept')
        if wrong:
            others = f'; replaced: {", ".join(map(visible, done))}' if done else ''
            raise Refused(
                422, 'reload', f'{"; ".join(wrong)} (the old one goes on{others})'
            )
        return done

    async def follow(self) -> None:
        """Open the version that the line has come to use; the old one serves meanwhile.

        Looks once a second, for as long as the server runs. A version that does not
        open is tried again after a pause, which doubles each time up to five minutes:
        a disk or memory that was full may have room by then.
        """
        tried, due, pause = None, 0.0, _PAUSE
        while self.models.line is not None:
            await asyncio.sleep(_FOLLOW)
            wanted = self.models.wanted()
            if wanted != tried:
                tried, due, pause = wanted, 0.0, _PAUSE
            if wanted is None or time.monotonic() < due:
                continue
            try:
                _LOG.warning('%s now serves %s', *await self.reload(None), wanted)
            except Exception as error:  # of whatever kind: who follows must not end
                _LOG.error('%s; next try in %g s', sentence_of(error), pause)
                due, pause = time.monotonic() + pause, min(2 * pause, _LONGEST)

    async def measured(self) -> bytes:
        """All counters for Prometheus, and how the line is where there is one."""
        line = self.models.line
        if line is not None:
            try:
                self.metrics.line(await asyncio.to_thread(line_status, line))
            except (OSError, ValueError) as error:  # the counters are told all the same
                _LOG.error('%s', sentence_of(error))
                self.metrics.error('line')
        return self.metrics.text(self.models.all())

    async def _read(self, request: Request) -> Asked:
        reading = read_request(request, self.settings)
        try:
            return await asyncio.wait_for(reading, self.settings.timeout)
        except asyncio.TimeoutError:
            raise Refused(
                408,
                'slow',
                f'the request was not complete after {self.settings.timeout:g} s: '
                'send it faster, or start the server with a larger timeout',
                headers={'Connection': 'close'},
            ) from None

    async def _look(
        self, place: Place, model: Model, asked: Asked, seconds: float
    ) -> list[dict[str, Any]]:
        spec = spec_for(model, asked)
        jobs = [
            place.submit(partial(self._look_at, model, spec, asked, upload))
            for upload in asked.uploads
        ]
        _, late = await asyncio.wait(jobs, timeout=max(seconds, 0))
        for job in late:
            job.cancel()
        if late:
            raise Refused(
                504,
                'timeout',
                f'{len(late)} of {len(jobs)} images were not looked at after '
                f'{self.settings.timeout:g} s: send fewer or smaller ones, or start '
                'the server with a larger timeout',
            )
        return _sorted_out(asked.uploads, [job.result() for job in jobs], spec)

    def _look_at(
        self, model: Model, spec: ModelSpec, asked: Asked, upload: Upload
    ) -> dict[str, Any] | Refused:
        """In a thread: what becomes of an image, without an exception."""
        began = time.monotonic()
        try:
            found = look(
                model, spec, upload, product=asked.product, settings=self.settings
            )
            found = _recorded(model, found, upload)
            # Here and not later: a map is larger than what is told of it.
            told = found.to_dict(everything=asked.everything)
            self.metrics.image(model.name, found, time.monotonic() - began)
        except Refused as refused:
            self.metrics.error(refused.reason)
            if refused.reason == 'image':
                _record_failure(model, spec, upload, refused.sentence)
            return refused
        except Exception as error:  # of an engine, of whatever kind
            _LOG.exception('%s failed on %s', model.name, upload.name)
            self.metrics.error('failed')
            why = f'{visible(model.name)} failed on {upload.name}'
            sentence = f'{why} ({sentence_of(error)}): see the log'
            _record_failure(model, spec, upload, sentence)
            return Refused(500, 'failed', sentence)
        return told


def _recorded(model: Model, found: Prediction, upload: Upload) -> Prediction:
    """The result, when it is written down or says that it is not."""
    try:
        return model.recorded(found, upload.data)
    except OSError as error:
        raise Refused(507, 'record', sentence_of(error)) from error


def _record_failure(
    model: Model, spec: ModelSpec, upload: Upload, sentence: str
) -> None:
    """Write down that an image got no result; it is refused in any case."""
    try:
        model.recorded(failed(sentence, spec, source=upload.name), upload.data)
    except OSError as error:
        _LOG.error('%s', sentence_of(error))


def _sorted_out(
    uploads: Sequence[Upload],
    outcomes: Sequence[dict[str, Any] | Refused],
    spec: ModelSpec,
) -> list[dict[str, Any]]:
    """One result an image, an error among others; refused if there are only errors."""
    errors = [one for one in outcomes if isinstance(one, Refused)]
    if len(errors) == len(outcomes):
        raise errors[0]
    return [
        failed(found.sentence, spec, source=upload.name).to_dict()
        if isinstance(found, Refused)
        else found
        for upload, found in zip(uploads, outcomes, strict=True)
    ]
