"""What a network costs: parameters, multiply-adds, and milliseconds an image.

Multiply-adds (MACs) are counted by PyTorch's own counter, which knows convolutions,
matrix products and attention; bias, norms, activations and pooling count nothing. It
follows the operations and not the modules, so it cannot overlook one that is called as
a function.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mmdefect.pruning.channels.plan import ChannelPlan, number_kept
from mmdefect.pruning.channels.rebuild import rebuild
from mmdefect.utils.checks import check_choice, check_range
from mmdefect.utils.modules import evaluating

KINDS = ('parameters', 'macs', 'latency_ms')
# Forward passes before those that are timed.
_WARMUP = 5
# The same while a budget is searched for, where some twenty networks are timed.
_SEARCH_RUNS, _SEARCH_WARMUP = 9, 2
Size = tuple[int, int] | int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of one image.

    Attributes:
        parameters: All of the network; a batch norm has two a channel, as PyTorch
            counts.
        macs: Multiply-adds of convolutions, linear layers and attention.
        latency_ms_p50: Median milliseconds of a forward pass.
        latency_ms_p95: 95th percentile of them.
        threads: Threads of the CPU that it was timed with.
        runs: How many forward passes were timed.
        compiled: Whether ``torch.compile`` had the network.
    """

    parameters: int
    macs: int
    latency_ms_p50: float
    latency_ms_p95: float
    threads: int
    runs: int
    compiled: bool = False


def measure_cost(
    model: nn.Module,
    size: Size,
    *,
    runs: int = 50,
    warmup: int = _WARMUP,
    threads: int | None = None,
    compiled: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """Measure a network on one image, in evaluation mode and on its own device.

    Args:
        model: Called as ``model(images)``; a classifier gives its logits then.
        size: Height and width of the image, or the side of a square one.
        runs: Forward passes that are timed, one image each.
        warmup: Forward passes before, behind the one that compiles it.
        threads: Threads of the CPU while it is timed; as many as are set by default.
        compiled: Time ``torch.compile(model)``, static shapes.
        clock: Seconds.

    Raises:
        ValueError: Too few runs or threads, or a size below 1.
        RuntimeError: It cannot be compiled here.
    """
    example = _example(model, size)
    _check_runs(runs, warmup, threads)
    count = torch.get_num_threads() if threads is None else threads
    with _inference(model), _threads(count):
        macs = count_macs(model, example)
        run = _compiled(model, example) if compiled else model
        times = _milliseconds(lambda: run(example), example, runs, warmup, clock)
    return Cost(
        parameters=parameter_count(model),
        macs=macs,
        latency_ms_p50=statistics.median(times),
        latency_ms_p95=statistics.quantiles(times, n=20, method='inclusive')[-1],
        threads=count,
        runs=runs,
        compiled=compiled,
    )


def parameter_count(model: nn.Module) -> int:
    """Count parameters, one that is used twice once, buffers not at all."""
    return sum(value.numel() for value in model.parameters())


def count_macs(model: nn.Module, images: Tensor) -> int:
    """Count the multiply-adds of one forward pass.

    Args:
        model: Called as ``model(images)``.
        images: Shape ``(N, 3, H, W)``; on the meta device nothing is computed.
    """
    counter = FlopCounterMode(display=False)
    with _inference(model), counter:
        model(images)
    # It counts a multiplication and an addition as two.
    return int(counter.get_total_flops()) // 2


def plan_cost(
    model: nn.Module, example: Tensor, kind: str = 'macs', *, runs: int = _SEARCH_RUNS
) -> Callable[[ChannelPlan], float]:
    """Tell what plans cost, for :func:`mmdefect.pruning.sweep.keep.plan_of_budget`.

    Parameters and MACs come from a copy on the meta device, which has shapes and no
    numbers: nothing is computed, whatever the network. The latency is timed. Plans of
    the same widths cost the same, so the second one is not looked at.

    Args:
        model: The network that the plans cut; it stays whole.
        example: An image, shape ``(1, 3, H, W)``.
        kind: ``'parameters'``, ``'macs'``, or ``'latency_ms'``, the median with as many
            threads as are set. Times are noisy: the search ends near the budget, and
            the network that it finds is to be measured again.
        runs: Forward passes a plan for the latency.

    Raises:
        ValueError: An unknown kind, too few runs, or an example of another shape.
    """
    check_choice('kind', kind, KINDS)
    if example.ndim != 4 or len(example) != 1:
        raise ValueError(
            f'example.shape={tuple(example.shape)}: expected one image, '
            '(1, channels, height, width)'
        )
    if kind == 'latency_ms':
        _check_runs(runs, _SEARCH_WARMUP, None)
        return _remembered(model, lambda smaller: _latency(smaller, example, runs))
    whole, image = _shapes_only(model, example)
    if kind == 'parameters':
        return _remembered(whole, parameter_count)
    return _remembered(whole, lambda smaller: count_macs(smaller, image))


def _remembered(
    whole: nn.Module, measure: Callable[[nn.Module], float]
) -> Callable[[ChannelPlan], float]:
    known: dict[object, float] = {}

    def cost(plan: ChannelPlan) -> float:
        widths = tuple(
            (name, *(None if kept is None else number_kept(kept) for kept in sides))
            for name, cut in plan.layers.items()
            for sides in [(cut.out, cut.into)]
        )
        if widths not in known:
            known[widths] = float(measure(rebuild(whole, plan)))
        return known[widths]

    return cost


def _latency(model: nn.Module, example: Tensor, runs: int) -> float:
    with _inference(model):
        times = _milliseconds(
            lambda: model(example), example, runs, _SEARCH_WARMUP, time.perf_counter
        )
    return statistics.median(times)


def _shapes_only(model: nn.Module, example: Tensor) -> tuple[nn.Module, Tensor]:
    """Move both to the meta device; leave a network that needs numbers to run."""
    whole, image = copy.deepcopy(model).to('meta'), example.to('meta')
    try:
        with _inference(whole):
            whole(image)
    # `.item()`, NumPy, or constants on another device: it is counted with numbers.
    except (RuntimeError, TypeError, ValueError):
        return model, example
    return whole, image


def _example(model: nn.Module, size: Size) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    if height < 1 or width < 1:
        raise ValueError(f'size={size}: expected a height and a width of 1 or more')
    device = next((value.device for value in model.parameters()), torch.device('cpu'))
    # Zeros would be an image that no camera takes: ReLUs of them are zeros.
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, 3, height, width, generator=generator).to(device)


def _check_runs(runs: int, warmup: int, threads: int | None) -> None:
    check_range('runs', runs, 2)  # so that there is a spread
    check_range('warmup', warmup, 0)
    check_range('threads', 1 if threads is None else threads, 1)


def _milliseconds(
    run: Callable[[], object],
    example: Tensor,
    runs: int,
    warmup: int,
    clock: Callable[[], float],
) -> list[float]:
    """Time every run by itself; a GPU has to be done before the clock is read."""
    on_gpu = example.device.type == 'cuda'
    times = []
    for _ in range(warmup + runs):
        if on_gpu:
            torch.cuda.synchronize(example.device)
        begin = clock()
        run()
        if on_gpu:
            torch.cuda.synchronize(example.device)
        times.append(1000 * (clock() - begin))
    return times[warmup:]


def _compiled(model: nn.Module, example: Tensor) -> Callable[[Tensor], object]:
    # Behind a handful of networks of one class, it would give up and not say so.
    torch.compiler.reset()
    network = torch.compile(model, dynamic=False)
    try:
        network(example)
    # Without a C++ compiler, or with something in the network that it does not know.
    except Exception as error:
        raise RuntimeError(
            f'compiled=True: torch.compile failed with {type(model).__name__} '
            f'({type(error).__name__}: {str(error).strip().partition(chr(10))[0]}); '
            'measure with compiled=False, or install a C++ compiler'
        ) from error
    return network


@contextmanager
def _inference(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients."""
    training = model.training
    with evaluating(model), torch.no_grad():
        try:
            yield
        finally:  # its own way, which may know of modules that are no children
            model.train(training)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
