"""What a server tells Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from mmdefect.deploy.result import Prediction
from mmdefect.line.status import Status
from mmdefect.serving.line_metrics import LineMetrics
from mmdefect.serving.models import Model
from mmdefect.serving.work import Work

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one server, in a registry of their own.

    Args:
        work: Whose queue is measured.
        behind: Of a line: whether another version serves than the one in use.
    """

    def __init__(self, work: Work, *, behind: Callable[[], bool] | None = None) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        self._line: LineMetrics | None = None
        ProcessCollector(registry=registry)
        counter = partial(Counter, registry=registry)
        gauge = partial(Gauge, registry=registry)
        histogram = partial(Histogram, buckets=_SECONDS, registry=registry)
        self._requests = counter(
            'mmdefect_requests',
            'Requests for predictions, by status of the answer',
            ['model', 'status'],
        )
        self._request_seconds = histogram(
            'mmdefect_request_seconds',
            'From the first byte of a request to its answer',
            ['model'],
        )
        self._image_seconds = histogram(
            'mmdefect_image_seconds',
            'Decoding, looking at and deciding on one image',
            ['model'],
        )
        self._decisions = counter(
            'mmdefect_decisions', 'Images by what was decided', ['model', 'decision']
        )
        self._kinds = counter(
            'mmdefect_defects',
            'Images on which a kind of defect was found',
            ['model', 'kind'],
        )
        self._errors = counter(
            'mmdefect_errors',
            'Requests and images without a result, by reason',
            ['reason'],
        )
        self._reloads = counter(
            'mmdefect_reloads',
            'Packages opened again, by outcome',
            ['model', 'outcome'],
        )
        self._model_info = gauge(
            'mmdefect_model_info',
            '1 for each model that serves',
            ['model', 'task', 'backend', 'calibrated'],
        )
        gauge('mmdefect_queue_length', 'Images that wait for a thread').set_function(
            lambda: work.waiting
        )
        gauge(
            'mmdefect_requests_open', 'Requests that are read, wait or are computed'
        ).set_function(lambda: work.taken)
        if behind is not None:  # also of a line that cannot be read
            gauge(
                'mmdefect_line_behind',
                '1 while another version serves than the line uses, 0 otherwise',
            ).set_function(behind)

    def request(self, model: str, status: int, seconds: float) -> None:
        """Count an answered request; ``model`` is empty where none was found."""
        self._requests.labels(model, str(status)).inc()
        self._request_seconds.labels(model).observe(seconds)

    def image(self, model: str, prediction: Prediction, seconds: float) -> None:
        """Count an image that was decided on."""
        self._image_seconds.labels(model).observe(seconds)
        self._decisions.labels(model, prediction.decision).inc()
        for kind in prediction.kinds:
            self._kinds.labels(model, kind).inc()

    def error(self, reason: str) -> None:
        """Count what got no result."""
        self._errors.labels(reason).inc()

    def reload(self, model: str, outcome: str) -> None:
        """Count a package that was opened again, or was not."""
        self._reloads.labels(model, outcome).inc()

    def line(self, found: Status) -> None:
        """Tell how the line of this server is."""
        if self._line is None:
            self._line = LineMetrics(self.registry)
        self._line.update(found)

    def text(self, models: list[Model]) -> bytes:
        """All of it in Prometheus' text format."""
        self._model_info.clear()
        for model in models:
            calibrated = str(model.spec.calibrated).lower()
            self._model_info.labels(
                model.name, model.spec.task, model.backend.name, calibrated
            ).set(1)
        return generate_latest(self.registry)
