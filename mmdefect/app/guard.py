"""Who may ask the page: a browser that shows it, and no page of another site."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
_REFUSED = b'this page answers itself alone, not pages of other sites'


class OnlyItself:
    """Refuses what a browser asks for in the name of another site.

    A page of one could fill the disk with uploads or give verdicts otherwise: what it
    sends arrives, though it may not read the answer. Programs that are no browser say
    nothing of where they come from, and are answered.

    Args:
        app: That answers.
        open_at: Beginnings of addresses that a link elsewhere may lead to, beside the
            page.
    """

    def __init__(self, app: Any, *, open_at: str) -> None:
        self.app = app
        self.open_at = open_at

    async def __call__(self, scope: Message, receive: Any, send: Send) -> None:
        """Answer, or refuse."""
        kind = scope['type']
        if kind == 'lifespan' or not self._is_foreign(scope, dict(scope['headers'])):
            await self.app(scope, receive, send)
        elif kind == 'websocket':
            await send({'type': 'websocket.close', 'code': 1008})
        else:
            size = str(len(_REFUSED)).encode()
            heads = [(b'content-type', b'text/plain'), (b'content-length', size)]
            start = {'type': 'http.response.start', 'status': 403, 'headers': heads}
            await send(start)
            await send({'type': 'http.response.body', 'body': _REFUSED})

    def _is_foreign(self, scope: Message, heads: Mapping[bytes, bytes]) -> bool:
        origin = heads.get(b'origin')
        if origin is not None and origin.partition(b'://')[2] != heads.get(b'host'):
            return True
        if heads.get(b'sec-fetch-site', b'none') in (b'none', b'same-origin'):
            return False
        path = scope['path']
        followed = heads.get(b'sec-fetch-dest') == b'document'
        link = followed and scope.get('method') in ('GET', 'HEAD')
        return not (link and (path == '/' or path.startswith(self.open_at)))
