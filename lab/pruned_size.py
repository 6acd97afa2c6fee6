"""Parameters of pruned sequential networks in closed form, and FTL's two networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mmdefect.functional.keep_counts import legacy_keep_count


@dataclass(frozen=True, kw_only=True)
class SequentialConvs:
    """A chain of convolutions with bias, some with a batch norm behind them.

    Attributes:
        kernels: Side of each kernel.
        widths: Output channels of each.
        normed: Indices of those with a batch norm behind them.
        in_channels: Of the image.
    """

    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    normed: tuple[int, ...] = ()
    in_channels: int = 3

    def legacy_widths(self, fraction: float) -> tuple[int, ...]:
        """Widths after FTL's ``round((C - 1) f)``."""
        return tuple(legacy_keep_count(width, fraction) for width in self.widths)

    def parameters(
        self, widths: Sequence[int] | None = None, *, norm_values: int = 4
    ) -> int:
        """Parameters at some widths, those of the whole network by default.

        Args:
            widths: Output channels of each convolution.
            norm_values: Values a channel that count of a batch norm: 4 in Keras, as
                FTL's tables, 2 in PyTorch (mean and variance are buffers).

        Raises:
            ValueError: There are more or fewer widths than convolutions.
        """
        made = tuple(self.widths if widths is None else widths)
        if len(made) != len(self.kernels):
            raise ValueError(
                f'{len(made)} widths were given for {len(self.kernels)} convolutions: '
                'expected one each'
            )
        chain = pairwise((self.in_channels, *made))
        convs = sum(
            kernel**2 * into * out + out
            for kernel, (into, out) in zip(self.kernels, chain, strict=True)
        )
        return convs + norm_values * sum(made[index] for index in self.normed)


FTL_ALEXNET = SequentialConvs(
    kernels=(11, 5, 3, 3, 3), widths=(96, 256, 384, 384, 256), normed=(0,)
)
VGG16 = SequentialConvs(
    kernels=(3,) * 13,
    widths=(64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512),
)
