"""A model that is quick and whose right answer is known, and a server that has it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import uvicorn

from mmdefect.deploy.outputs import BoxOutput, MapOutput, Output
from mmdefect.deploy.spec import ModelSpec
from mmdefect.serving.app import create_app
from mmdefect.serving.connections import Listener
from mmdefect.serving.models import Models
from mmdefect.serving.server import listen, server_config
from mmdefect.serving.settings import ServerSettings

CLASSES = ('scratch', 'dent')


class ShadeBackend:
    """Finds the one bright rectangle of an image; its shade is the score.

    The folder says which class it is, so that two versions of it answer differently.
    """

    def __init__(self, folder: Path) -> None:
        said = json.loads((folder / 'shade.json').read_text(encoding='utf-8'))
        self.label = CLASSES.index(said['class'])
        self.task = said.get('task', 'boxes')
        self.name = said.get('backend', 'onnxruntime')
        self.spec = ModelSpec(
            task=self.task,
            classes=CLASSES,
            default_threshold=said.get('threshold', 0.5),
            calibrated=True,
            about={'step': 1},
        )
        self.gate = threading.Event()  # closed, it keeps whoever looks
        self.gate.set()
        self.inside = 0
        self.most_inside = 0
        self._lock = threading.Lock()

    def __call__(self, images: Sequence[np.ndarray]) -> list[Output]:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.inside, self.most_inside)
        try:
            assert self.gate.wait(20)
            return [self._look(image) for image in images]
        finally:
            with self._lock:
                self.inside -= 1

    def _look(self, image: np.ndarray) -> Output:
        if (image == 13).all():
            raise RuntimeError('unlucky image\nand more that nobody needs')
        grey = image.max(-1)
        if self.task == 'maps':
            found = np.float32(grey) / 255
            return MapOutput(anomaly_map=found, score=float(found.max()))
        x, y, width, height = cv2.boundingRect(np.uint8(grey > 100))
        box = np.array([[x, y, x + width, y + height]], np.float32)
        found = width > 0
        return BoxOutput(
            boxes=box[:found],
            scores=np.array([grey.max() / 255], np.float32)[:found],
            labels=np.array([self.label])[:found],
        )


@dataclass(frozen=True)
class Part:
    """A picture, and what is right to say of it."""

    data: bytes
    box: list[float]
    score: float


def part(seed: int) -> Part:
    """A PNG with one bright rectangle; no two seeds below 1000 give the same."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (48, 64, 3), np.uint8)
    x, y = int(rng.integers(0, 40)), int(rng.integers(0, 30))
    width, height = int(rng.integers(4, 20)), int(rng.integers(4, 16))
    shade = 101 + seed % 155
    image[y : y + height, x : x + width] = shade
    return Part(encoded(image), [x, y, x + width, y + height], shade / 255)


def encoded(image: np.ndarray, suffix: str = '.png') -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def write_package(folder: Path, kind: str = 'scratch', **said: Any) -> Path:
    """The folder that :class:`ShadeBackend` opens."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({'class': kind, **said})
    (folder / 'shade.json').write_text(text, encoding='utf-8')
    return folder


@contextmanager
def served(
    models: Models, *, descriptors: int | None = None, **limits: Any
) -> Iterator[str]:
    """A server in a thread on a free port; its address."""
    settings = ServerSettings(**limits)
    server = uvicorn.Server(server_config(create_app(models, settings), settings))
    listener = Listener(listen('127.0.0.1', 0), most=descriptors)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield f'http://127.0.0.1:{listener.getsockname()[1]}'
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def client(url: str) -> httpx.Client:
    """Without certificates, which take longer to read than a test needs."""
    return httpx.Client(base_url=url, timeout=30, verify=False)


def descriptors_left() -> int:
    """The lowest descriptor that is free."""
    with socket.socket() as probe:
        return probe.fileno()


def wait_until(true: Any, seconds: float = 20) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.005)
