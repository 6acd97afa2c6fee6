"""Parameters of FTL's two networks in closed form, against the published counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lab.pruned_size import FTL_ALEXNET, VGG16, SequentialConvs
from mmdefect.functional.keep_counts import legacy_fractions

# Recorded by the authors of FTL: i -> parameters of the AlexNet at the share i / 100.
RECORDED = {
    1: 817,
    2: 2_308,
    3: 4_415,
    15: 86_871,
    28: 298_004,
    30: 345_296,
    31: 365_010,
    50: 946_048,
    98: 3_569_849,
}
# Recorded as well: widths of the released networks.
RECORDED_WIDTHS = {1: (1, 3, 4, 4, 3), 15: (14, 38, 57, 57, 38)}
RELEASED_VGG16 = (26, 24, 48, 50, 97, 98, 78, 148, 114, 120, 122, 116, 112)

# Regression only: these are NOT recorded values but ours, of the closed formula
# sum(k^2 c_in c_out + c_out) + 4 K_1 with shares that are sums of 0.01:
#   {i: FTL_ALEXNET.parameters(FTL_ALEXNET.legacy_widths(f))
#    for i, f in enumerate(legacy_fractions()[:98], start=1) if i not in RECORDED}
# With f = i / 100 exactly, the rows 10, 30 and 70 differ.
REGRESSION_OURS = {
    4: 7_247,
    5: 11_224,
    6: 15_505,
    7: 21_125,
    8: 26_855,
    9: 33_081,
    10: 40_152,
    11: 47_864,
    12: 57_439,
    13: 66_682,
    14: 77_900,
    16: 99_606,
    17: 111_639,
    18: 126_017,
    19: 139_499,
    20: 155_520,
    21: 169_988,
    22: 185_584,
    23: 203_992,
    24: 221_037,
    25: 241_088,
    26: 259_582,
    27: 278_169,
    29: 321_215,
    32: 390_659,
    33: 410_324,
    34: 437_490,
    35: 462_287,
    36: 491_096,
    37: 517_342,
    38: 547_794,
    39: 571_014,
    40: 602_983,
    41: 635_822,
    42: 665_631,
    43: 700_113,
    44: 731_371,
    45: 762_319,
    46: 794_918,
    47: 832_560,
    48: 866_608,
    49: 905_893,
    51: 972_839,
    52: 1_014_436,
    53: 1_051_997,
    54: 1_095_237,
    55: 1_134_247,
    56: 1_172_693,
    57: 1_213_044,
    58: 1_259_444,
    59: 1_301_244,
    60: 1_349_287,
    61: 1_398_200,
    62: 1_435_101,
    63: 1_485_531,
    64: 1_530_894,
    65: 1_582_967,
    66: 1_629_779,
    67: 1_683_495,
    68: 1_723_951,
    69: 1_779_184,
    70: 1_835_287,
    71: 1_880_769,
    72: 1_938_440,
    73: 1_990_214,
    74: 2_041_021,
    75: 2_094_136,
    76: 2_154_967,
    77: 2_209_531,
    78: 2_272_005,
    79: 2_328_018,
    80: 2_382_944,
    81: 2_447_805,
    82: 2_505_932,
    83: 2_572_436,
    84: 2_632_012,
    85: 2_700_159,
    86: 2_751_309,
    87: 2_820_973,
    88: 2_883_339,
    89: 2_954_646,
    90: 3_026_823,
    91: 3_085_243,
    92: 3_148_411,
    93: 3_214_290,
    94: 3_289_552,
    95: 3_356_880,
    96: 3_433_785,
    97: 3_502_562,
}
# Of the same snippet with f = i / 100: what a straightforward sweep would give.
WITHOUT_SUMS = {10: 41_088, 30: 340_231, 70: 1_823_968}


def count(fraction: float) -> int:
    return FTL_ALEXNET.parameters(FTL_ALEXNET.legacy_widths(fraction))


def test_smoke() -> None:
    chain = SequentialConvs(kernels=(3, 1), widths=(4, 2), normed=(0,))
    # 9 x 3 x 4 + 4, 4 x 2 + 2, and four values for each of 4 channels.
    assert chain.parameters() == 112 + 10 + 16
    assert chain.parameters((1, 2)) == 28 + 4 + 4
    assert chain.parameters(norm_values=2) == 112 + 10 + 8


def test_feature_whole_networks() -> None:
    assert FTL_ALEXNET.parameters() == 3_747_584
    assert VGG16.parameters() == 14_714_688
    # By hand: Keras counts four values a channel of the norm, PyTorch two.
    parts = (34_944, 384, 614_656, 885_120, 1_327_488, 884_992)
    assert sum(parts) == 3_747_584
    assert FTL_ALEXNET.parameters(norm_values=2) == 3_747_584 - 2 * 96


@pytest.mark.parametrize('i', RECORDED)
def test_feature_recorded_counts(i) -> None:
    assert count(legacy_fractions()[i - 1]) == RECORDED[i]


@pytest.mark.parametrize('i', RECORDED_WIDTHS)
def test_feature_recorded_widths(i) -> None:
    assert FTL_ALEXNET.legacy_widths(legacy_fractions()[i - 1]) == RECORDED_WIDTHS[i]
    assert FTL_ALEXNET.parameters(RECORDED_WIDTHS[i]) == RECORDED[i]


def test_feature_regression_counts_of_ours() -> None:
    shares = legacy_fractions()[:98]
    found = {i: count(share) for i, share in enumerate(shares, start=1)}
    assert len(found) == len(RECORDED | REGRESSION_OURS) == 98
    assert found == RECORDED | REGRESSION_OURS


def test_feature_shares_have_to_be_summed_up() -> None:
    """The record of 0.30 tells them apart: 345,296 and not 340,231."""
    every = RECORDED | REGRESSION_OURS
    exact = {i: count(i / 100) for i in range(1, 99)}
    assert {i: n for i, n in exact.items() if n != every[i]} == WITHOUT_SUMS


def test_feature_released_vgg16() -> None:
    assert VGG16.parameters(RELEASED_VGG16) == 992_359
    assert round(100 * 992_359 / VGG16.parameters(), 2) == 6.74
    # Crack and background filters are united: between K and 2 K of each layer.
    kept = VGG16.legacy_widths(legacy_fractions()[19])
    assert kept[:8] == (13, 13, 25, 25, 51, 51, 51, 102)
    bounds = zip(kept, RELEASED_VGG16, strict=True)
    assert all(low <= width <= 2 * low for low, width in bounds)


def test_feature_one_share_for_vgg16() -> None:
    """Without union, another implementation's pruned network has as many."""
    assert VGG16.parameters(VGG16.legacy_widths(0.21)) == 645_293


def test_feature_counts_are_those_of_modules() -> None:
    chain = SequentialConvs(
        kernels=(5, 3, 1), widths=(6, 4, 7), normed=(0, 2), in_channels=2
    )
    widths = (5, 2, 3)
    layers = nn.Sequential(
        nn.Conv2d(2, 5, 5),
        nn.BatchNorm2d(5),
        nn.Conv2d(5, 2, 3),
        nn.Conv2d(2, 3, 1),
        nn.BatchNorm2d(3),
    )
    torch_count = sum(value.numel() for value in layers.parameters())
    assert chain.parameters(widths, norm_values=2) == torch_count
    statistics = sum(
        value.numel() for value in layers.buffers() if value.dtype != torch.int64
    )
    assert chain.parameters(widths) == torch_count + statistics


def test_exception_widths() -> None:
    with pytest.raises(ValueError, match='4 widths were given for 5 convolutions'):
        FTL_ALEXNET.parameters((1, 2, 3, 4))
