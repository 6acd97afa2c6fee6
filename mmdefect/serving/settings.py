"""What a server is told at its start."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field

from mmdefect.utils.checks import check_range

TOKEN = 'MMDEFECT_TOKEN'  # noqa: S105
"""Environment variable that holds the token: a command line is seen by all users."""
MIN_TOKEN = 16
_DAY = 86_400


def _threads() -> int:
    return min(4, os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where a server listens, and its limits.

    At most ``concurrency + queue`` requests are held at once, so that their bodies take
    at most that many times ``max_bytes`` of memory.

    Args:
        host: Address to listen at.
        port: 0 for a free one.
        token: What clients must send as ``Authorization: Bearer``; None if whoever
            reaches the server may use it.
        max_bytes: Of the body of a request.
        max_pixels: Of an image, width times height.
        max_files: Of a request.
        concurrency: Images that are decoded and looked at at once.
        queue: Requests that may wait beside those.
        timeout: Seconds of a request, from its first byte to its answer; a day at
            most.
        bits: How many of its 16 bits a 16-bit image uses, 8 to 16; by default what each
            package says.

    Raises:
        ValueError: A number is out of range, the token is weak, or there is none and
            the address is not of this machine alone.
    """

    host: str = '127.0.0.1'
    port: int = 8000
    token: str | None = field(default=None, repr=False)
    max_bytes: int = 20 * 2**20
    max_pixels: int = 50_000_000
    max_files: int = 32
    concurrency: int = field(default_factory=_threads)
    queue: int = 32
    timeout: float = 30.0
    bits: int | None = None

    def __post_init__(self) -> None:
        check_range('port', self.port, 0, 65535)
        for name in ('max_bytes', 'max_pixels', 'max_files', 'concurrency'):
            check_range(name, getattr(self, name), 1)
        check_range('queue', self.queue, 0)
        check_range('timeout', self.timeout, 0, _DAY, open_low=True)
        if self.bits is not None:
            check_range('bits', self.bits, 8, 16)
        if self.token is not None:
            _check_token(self.token)
        elif not is_loopback(self.host):
            raise ValueError(
                f'host={self.host!r}: expected an address of this machine alone, such '
                'as 127.0.0.1, or a token; set the environment variable '
                f'{TOKEN} to {MIN_TOKEN} characters or more'
            )


def token_from_environment() -> str | None:
    """The token that the environment variable holds; None if it is not set."""
    return os.environ.get(TOKEN) or None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_token(token: str) -> None:
    """What a header can carry and nobody guesses; the message does not show it."""
    plain = token.isascii() and token.isprintable() and ' ' not in token
    if len(token) < MIN_TOKEN or not plain:
        raise ValueError(
            f'token: expected {MIN_TOKEN} characters or more, ASCII without spaces; '
            'make one with: openssl rand -hex 16'
        )
