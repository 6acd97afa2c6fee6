"""The routes of a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from mmdefect.serving.models import Models
from mmdefect.serving.refusal import Refused
from mmdefect.serving.service import Service
from mmdefect.serving.settings import ServerSettings
from mmdefect.utils.image_header import own_limit


def create_app(models: Models, settings: ServerSettings | None = None) -> FastAPI:
    """Make the application that a server runs.

    Args:
        models: That are open.
        settings: Limits and token; host and port are of no use here.
    """
    settings = settings or ServerSettings()
    service = Service(models, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Pillow's limit is of the whole process: threads must not switch it each.
        with own_limit():
            following = asyncio.create_task(service.follow())
            yield
            following.cancel()
        service.work.close()

    # No pages of documentation: they would load scripts from elsewhere.
    app = FastAPI(title='mmdefect', openapi_url=None, lifespan=lifespan)
    app.state.service = service
    _add_routes(app, service)
    _add_errors(app, service)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    known = [Depends(service.check_token)]

    @app.get('/health')
    async def health() -> JSONResponse:
        status, code = ('ready', 200) if service.is_ready() else ('stuck', 503)
        return JSONResponse({'status': status, 'models': service.models.names}, code)

    @app.get('/models', dependencies=known)
    async def models() -> dict[str, Any]:
        return {'models': [model.describe() for model in service.models.all()]}

    @app.get('/metrics', dependencies=known)
    async def metrics() -> Response:
        return Response(await service.measured(), media_type=CONTENT_TYPE_LATEST)

    @app.post('/predict', dependencies=known)
    async def predict(request: Request) -> JSONResponse:
        return JSONResponse(await service.predict(request))

    @app.post('/reload', dependencies=known)
    async def reload(model: str | None = None) -> dict[str, Any]:
        return {'reloaded': await service.reload(model)}


def _add_errors(app: FastAPI, service: Service) -> None:
    """Every refusal is one sentence, as ``{"error": ...}``."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        if error.reason not in ('image', 'failed', 'record'):  # counted image by image
            service.metrics.error(error.reason)
        return _error(error.status, error.sentence, error.headers)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        what = f'{request.method} {request.url.path}: {error.detail}'
        return _error(error.status_code, what, dict(error.headers or {}))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        service.metrics.error('gone')
        return _error(400, 'the client went away before it had sent its request', {})

    @app.exception_handler(Exception)  # uvicorn logs it
    async def failed(request: Request, error: Exception) -> JSONResponse:
        service.metrics.error('failed')
        return _error(500, f'{request.url.path} failed: see the log', {})


def _error(status: int, sentence: str, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse({'error': sentence}, status, headers)
