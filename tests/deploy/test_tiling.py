"""Large images in tiles: what resizing loses is found, once, and without seams.

Slow is a detector that is trained first.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput
from mmdefect.deploy.spec import ModelSpec
from mmdefect.deploy.tile_boxes import merge_boxes
from mmdefect.deploy.tiling import TiledBackend, Tiling, blend_maps
from tests.helpers.blob_backend import Blobs, Darkness, spotted_plate

SIZE, OVERLAP = 800, 100


def plan() -> Tiling:
    return Tiling(size=SIZE, overlap=OVERLAP)


@pytest.fixture(scope='module')
def plate() -> tuple[np.ndarray, np.ndarray]:
    """4000 x 3000 pixels, 20 of them a defect; some lie on every kind of border."""
    tiles = plan().tiles(4000, 3000)
    inner = [tile for tile in tiles if tile[2] < 4000 and tile[3] < 3000]
    spots = [(x2 - 10, (y1 + y2) // 2) for _, y1, x2, y2 in inner[::3]]  # a side
    spots += [(x2 - 13, y2 - 7) for _, _, x2, y2 in inner[1::3]]  # a corner
    spots += [(x2 - OVERLAP + 40, y2 - 300) for _, _, x2, y2 in inner[2::3]]  # shared
    rng = np.random.default_rng(0)
    spots += [(int(x), int(y)) for x, y in rng.integers(0, (3980, 2980), (40, 2))]
    free: list[tuple[int, int]] = []
    for x, y in spots:
        if all(max(abs(x - a), abs(y - b)) > 45 for a, b in free):
            free.append((x, y))
    return spotted_plate(free, size=(4000, 3000))


def hits(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """How many boxes lie on each defect, (N,), by an overlap of 0.5."""
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas, others = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (found, truth))
    return (shared / (areas[:, None] + others - shared) >= 0.5).sum(axis=0)


def test_feature_tiles_find_what_resizing_loses(plate) -> None:
    image, truth = plate
    (whole,) = Blobs()([image])
    backend = Blobs()
    tiled = TiledBackend(backend, size=SIZE, overlap=OVERLAP, batch_size=4)
    (output,) = tiled([image])
    assert sum(backend.batches) == len(plan().tiles(4000, 3000)) == 30
    assert max(backend.batches) == 4
    recall = {
        name: float((hits(one.boxes, truth) > 0).mean())
        for name, one in (('resized', whole), ('tiled', output))
    }
    print(f'recall of {len(truth)} defects of 20 px: {recall}')
    assert recall['tiled'] == 1.0
    assert recall['tiled'] >= 2 * recall['resized']
    # Each once, and nothing else.
    assert (hits(output.boxes, truth) == 1).all()
    assert len(output.boxes) == len(truth)
    assert (np.diff(output.scores) <= 0).all()
    assert output.boxes.dtype == output.scores.dtype == np.float32


def test_feature_maps_of_tiles_find_what_resizing_loses(plate) -> None:
    image, truth = plate
    (whole,) = Darkness()([image])
    (output,) = TiledBackend(Darkness(), size=SIZE, overlap=OVERLAP)([image])
    assert output.anomaly_map.shape == image.shape[:2]
    assert output.anomaly_map.dtype == np.float32
    recall = {
        name: sum(
            bool(one.anomaly_map[y : y + 20, x : x + 20].max() >= 0.3)
            for x, y, _, _ in truth.astype(int)
        )
        / len(truth)
        for name, one in (('resized', whole), ('tiled', output))
    }
    print(f'defects above the threshold in the map: {recall}')
    assert recall['tiled'] >= 2 * recall['resized']
    assert recall['tiled'] == 1.0
    assert output.score >= 0.3 > whole.score
    assert output.product == 'plate'


def test_feature_plans() -> None:
    def tiles(width: int, height: int = 400, **more) -> list:
        return Tiling(**{'size': 400, 'overlap': 100, **more}).tiles(width, height)

    assert tiles(400) == [(0, 0, 400, 400)]
    assert tiles(399, 5) == [(0, 0, 399, 5)]
    assert tiles(401) == [(0, 0, 400, 400), (1, 0, 401, 400)]
    assert tiles(700) == [(0, 0, 400, 400), (300, 0, 700, 400)]
    assert [x for x, *_ in tiles(1000)] == [0, 300, 600]
    assert [x for x, *_ in tiles(800, overlap=0)] == [0, 400]
    assert [x for x, *_ in tiles(800, overlap=0.25)] == [0, 300, 400]
    wide = Tiling(size=(400, 200), overlap=0.5).tiles(600, 300)
    assert wide == [
        (0, 0, 400, 200),
        (200, 0, 600, 200),
        (0, 100, 400, 300),
        (200, 100, 600, 300),
    ]


@pytest.mark.parametrize('overlap', [0, 1, 37, 0.3, 300])
def test_feature_every_pixel_is_in_a_tile(overlap) -> None:
    seen = np.zeros((530, 1234), int)
    tiles = Tiling(size=400, overlap=overlap).tiles(1234, 530)
    for x1, y1, x2, y2 in tiles:
        assert (x2 - x1, y2 - y1) == (400, 400)
        seen[y1:y2, x1:x2] += 1
    assert seen.min() >= 1
    assert len(set(tiles)) == len(tiles)


TWO = [(0, 0, 400, 400), (300, 0, 700, 400)]


def merged(*boxes: list, tiles=TWO, size=(700, 400)) -> list:
    """Merge rows of x1, y1, x2, y2 (in the image), score, label of each tile."""
    outputs = []
    for (x, y, *_), rows in zip(tiles, boxes, strict=True):
        table = np.array(rows, np.float32).reshape(-1, 6)
        shift = np.array([x, y, x, y], np.float32)
        outputs.append(
            BoxOutput(
                boxes=table[:, :4] - shift,
                scores=table[:, 4],
                labels=table[:, 5].astype(np.int64),
            )
        )
    found = merge_boxes(tiles, outputs, size=size)
    return [
        [*map(float, box), round(float(score), 3), int(label)]
        for box, score, label in zip(
            found.boxes, found.scores, found.labels, strict=True
        )
    ]


def test_feature_seen_whole_by_both() -> None:
    assert merged([[320, 9, 340, 29, 0.5, 0]], [[322, 10, 342, 30, 0.7, 0]]) == [
        [322, 10, 342, 30, 0.7, 0]
    ]
    # Another class is another defect.
    assert len(merged([[320, 9, 340, 29, 0.5, 0]], [[322, 10, 342, 30, 0.7, 1]])) == 2


def test_feature_a_piece_gives_way_to_the_whole() -> None:
    """Whatever their scores; the certainty of either sighting stays."""
    whole = [305, 50, 460, 90]
    found = merged([[305, 50, 400, 90, 0.9, 0]], [[*whole, 0.4, 0]])
    assert found == [[*whole, 0.9, 0]]
    # Two pieces of one tile, and the whole in the other.
    pieces = [[340, 52, 400, 66, 0.8, 0], [340, 70, 400, 88, 0.7, 0]]
    assert merged(pieces, [[340, 50, 460, 90, 0.6, 0]]) == [[340, 50, 460, 90, 0.8, 0]]


def test_feature_a_guessed_size_of_a_piece() -> None:
    """Half of a defect is seen, and taken for a whole one that ends at the border."""
    whole = [392, 100, 412, 120, 0.99, 0]
    assert merged([[383, 98, 400, 124, 0.6, 0]], [whole]) == [
        [392, 100, 412, 120, pytest.approx(0.99), 0]
    ]
    # Beside the whole one lies one that the model all but drops.
    faint = [385, 99, 408, 122, 0.02, 0]
    found = merged([[384, 99, 400, 121, 0.7, 0]], [whole, faint])
    assert [box[4] for box in found] == [0.99, 0.02]
    # It may be more than twice as large.
    found = merged([[378, 97, 400, 137, 0.3, 0]], [whole])
    assert [box[:4] for box in found] == [whole[:4]]
    # A large one around a small one is another one.
    assert len(merged([[310, 60, 400, 160, 0.6, 0]], [whole])) == 2


def test_feature_longer_than_what_tiles_share() -> None:
    tiles = [(0, 0, 400, 400), (300, 0, 700, 400), (600, 0, 1000, 400)]
    scratch = [50, 100, 950, 110]
    parts = [
        [[max(50, x1), 100, min(950, x2), 110, 0.5 + 0.1 * k, 0]]
        for k, (x1, _, x2, _) in enumerate(tiles)
    ]
    assert merged(*parts, tiles=tiles, size=(1000, 400)) == [[*scratch, 0.7, 0]]
    # Another one below it stays another one.
    parts[0].append([50, 150, 400, 160, 0.4, 0])
    found = merged(*parts, tiles=tiles, size=(1000, 400))
    assert found == [[*scratch, 0.7, 0], [50, 150, 400, 160, 0.4, 0]]


def seen_by(tiles: list, defects: list, scores: np.ndarray) -> list[list]:
    """What each tile shows of each defect, exactly; rows for :func:`merged`."""
    rows: list[list] = []
    for (x1, y1, x2, y2), sure in zip(tiles, scores, strict=True):
        parts = [
            [max(a, x1), max(b, y1), min(c, x2), min(d, y2), score, 0]
            for (a, b, c, d), score in zip(defects, sure, strict=True)
        ]
        rows.append([p for p in parts if p[2] - p[0] > 2 and p[3] - p[1] > 2])
    return rows


@pytest.mark.parametrize(('side', 'overlap'), [(128, 32), (256, 64), (1024, 128)])
def test_feature_long_scratches_are_one_box(side, overlap) -> None:
    """Over two to eight tiles, whatever the order of their scores."""
    rng = np.random.default_rng(0)
    width, height = 5 * side, side + side // 2
    tiles = Tiling(size=side, overlap=overlap).tiles(width, height)
    for _ in range(60):
        length = int(rng.integers(side // 2, width - 20))
        x = int(rng.integers(0, width - length))
        y = int(rng.integers(0, height - 30))
        scratch = [x, y, x + length, y + 14]
        sightings = seen_by(tiles, [scratch], rng.uniform(0.4, 1, (len(tiles), 1)))
        found = merged(*sightings, tiles=tiles, size=(width, height))
        assert [box[:4] for box in found] == [scratch]


def test_feature_scattered_defects_are_one_box_each() -> None:
    """Small ones, long ones across and along, in tiles of any size."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        width, height = (int(side) for side in rng.integers(200, 600, 2))
        side, overlap = int(rng.integers(64, 160)), int(rng.integers(16, 32))
        truth: list[list[int]] = []
        for long in rng.integers(0, 3, 6):
            w, h = (int(one) for one in rng.integers(6, 16, 2))
            w = int(rng.integers(60, width - 10)) if long == 1 else w
            h = int(rng.integers(60, height - 10)) if long == 2 else h
            x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
            box = [x, y, x + w, y + h]
            gaps = [
                max(a - r, b - s, p - c, q - d)
                for a, b, c, d in truth
                for p, q, r, s in [box]
            ]
            if all(gap > 4 for gap in gaps):
                truth.append(box)
        tiles = Tiling(size=side, overlap=overlap).tiles(width, height)
        scores = rng.uniform(0.5, 1, (len(tiles), len(truth)))
        sightings = seen_by(tiles, truth, scores)
        found = merged(*sightings, tiles=tiles, size=(width, height))
        assert sorted(box[:4] for box in found) == sorted(truth)
        # Nor does the order of the tiles say anything.
        back = merged(*sightings[::-1], tiles=tiles[::-1], size=(width, height))
        assert sorted(back) == sorted(found)


def test_feature_close_scratches_that_a_tile_tells_apart() -> None:
    tiles = Tiling(size=128, overlap=32).tiles(640, 128)
    scratches = [[10, 40, 600, 54], [10, 44, 600, 58]]
    rng = np.random.default_rng(0)
    for _ in range(20):
        sightings = seen_by(tiles, scratches, rng.uniform(0.4, 1, (len(tiles), 2)))
        found = merged(*sightings, tiles=tiles, size=(640, 128))
        assert sorted(box[:4] for box in found) == scratches


def test_feature_a_faint_box_does_not_come_before_a_sure_piece() -> None:
    """Faint ones are whole, the sure one is cut; it must not lift one of them."""
    whole, beside = [296, 100, 316, 120, 0.9, 0], [297, 98, 324, 124, 0.05, 0]
    piece, faint = [300, 100, 316, 120, 0.95, 0], [305, 98, 318, 121, 0.03, 0]
    found = merged([whole, beside], [piece, faint])
    assert found == [[*whole[:4], 0.95, 0], beside]


def test_feature_many_boxes() -> None:
    """As many as the largest photographs have; compared pair by pair they take long."""
    tiles = Tiling(size=1024, overlap=128).tiles(20_000, 20_000)
    rng = np.random.default_rng(0)
    number = 57
    outputs = []
    for _ in tiles:
        corners = rng.uniform(0, 990, (number, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(15, 30, (number, 2))], 1)
        scores = rng.uniform(0, 1, number).astype(np.float32)
        labels = np.zeros(number, np.int64)
        outputs.append(
            BoxOutput(boxes=boxes.astype(np.float32), scores=scores, labels=labels)
        )
    found = merge_boxes(tiles, outputs, size=(20_000, 20_000))
    # By chance, some of two tiles lie on each other.
    assert 0.99 < len(found.scores) / (number * len(tiles)) < 1


def test_feature_tiles_that_share_a_border_alone() -> None:
    tiles = [(0, 0, 400, 400), (400, 0, 800, 400)]
    halves = ([[380, 10, 399, 40, 0.5, 0]], [[400, 11, 430, 40, 0.6, 0]])
    found = merged(*halves, tiles=tiles, size=(800, 400))
    assert found == [[380, 10, 430, 40, 0.6, 0]]
    apart = ([[380, 10, 399, 40, 0.5, 0]], [[400, 60, 430, 90, 0.6, 0]])
    assert len(merged(*apart, tiles=tiles, size=(800, 400))) == 2


def test_feature_close_defects_stay_apart() -> None:
    """Overlapping boxes that the model keeps apart, seen by both tiles."""
    pair = [[320, 50, 350, 80, 0.9, 0], [330, 50, 360, 80, 0.8, 0]]
    again = [[331, 50, 361, 80, 0.85, 0], [321, 50, 351, 80, 0.7, 0]]
    found = merged(pair, again)
    assert [box[0] for box in found] == [320, 331]
    # A small one in a large one that reaches out of what both see.
    large, small = [200, 20, 390, 200, 0.6, 0], [330, 60, 350, 80, 0.7, 0]
    found = merged([large, small], [[300, 20, 390, 200, 0.5, 0], small])
    assert sorted(box[:4] for box in found) == [large[:4], small[:4]]


def test_feature_borders_of_the_image_cut_nothing() -> None:
    """A defect at the edge of the image is whole; with a copy in no other tile."""
    found = merged([[0, 0, 30, 30, 0.9, 0]], [[680, 370, 700, 400, 0.8, 0]])
    assert len(found) == 2
    assert merged([], []) == []


def test_feature_small_defects_near_a_border() -> None:
    """Every place of a defect of ten pixels, seen by one or two tiles as it is."""
    for shared in (0, 6, 20, 60):
        tiles = [(0, 0, 400, 400), (400 - shared, 0, 800 - shared, 400)]
        size = (800 - shared, 400)
        for x in range(300, 420):
            sightings: list[list] = [[], []]
            for rows, (x1, _, x2, _) in zip(sightings, tiles, strict=True):
                part = [max(x, x1), 50, min(x + 10, x2), 60]
                if part[2] - part[0] > 2:
                    rows.append([*part, 0.5, 0])
            found = merged(*sightings, tiles=tiles, size=size)
            assert len(found) == 1, (shared, x)
            assert found[0][2] - found[0][0] >= 8


def smooth(tiles: list, size: tuple[int, int], values: list) -> np.ndarray:
    maps = [
        MapOutput(
            anomaly_map=np.full((y2 - y1, x2 - x1), value, np.float32), score=value
        )
        for (x1, y1, x2, y2), value in zip(tiles, values, strict=True)
    ]
    return blend_maps(tiles, maps, size=size)


def test_feature_blending_has_no_seams() -> None:
    tiles = Tiling(size=400, overlap=100).tiles(900, 700)
    equal = smooth(tiles, (900, 700), [2.0] * len(tiles))
    np.testing.assert_allclose(equal.anomaly_map, 2.0, rtol=1e-6)
    steps = smooth(tiles, (900, 700), [float(k % 2) for k in range(len(tiles))])
    # From 0 to 1 over what they share, not at once.
    for axis in (0, 1):
        assert np.abs(np.diff(steps.anomaly_map, axis=axis)).max() <= 0.011
    assert steps.score == 1.0
    # A tile alone is what it is, to the border of the image.
    assert (steps.anomaly_map[:300, :300] == 0).all()


def test_feature_an_image_of_one_tile_is_looked_at_as_it_is() -> None:
    image, truth = spotted_plate([(40, 50)], size=(300, 200))
    tiled = TiledBackend(Blobs(), size=SIZE, overlap=OVERLAP)
    (output,) = tiled([image])
    np.testing.assert_allclose(output.boxes, truth, atol=1)
    assert tiled.name == 'torch'
    assert tiled([]) == []


def test_feature_thresholds_of_maps_hold_for_their_tiles_alone() -> None:
    def calibrated(tile: dict | None, **used) -> bool:
        backend = Darkness()
        about = {'calibration': {'tile': tile} if tile else {}}
        backend.spec = replace(backend.spec, calibrated=True, about=about)
        return TiledBackend(backend, **used).spec.calibrated

    assert not calibrated(None, size=400)
    assert calibrated({'size': [400, 400], 'overlap': 80}, size=400, overlap=0.2)
    assert not calibrated({'size': 400, 'overlap': 80}, size=400, overlap=81)
    # A box has its score in any tile.
    boxes = Blobs()
    boxes.spec = replace(boxes.spec, calibrated=True)
    assert TiledBackend(boxes, size=400).spec.calibrated


class Labels:
    name = 'torch'
    spec = ModelSpec(task='labels', classes=('a', 'b'))

    def __call__(self, images) -> list:
        return [LabelOutput(probabilities=np.ones(2, np.float32) / 2) for _ in images]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'size': 31}, r'^tile size=31: expected at least 32 pixels'),
        (
            {'size': (40, 50, 60)},
            r'^tile size=\(40, 50, 60\): expected one number .* two',
        ),
        ({'size': 400.0}, r'^tile size=400\.0: expected at least 32'),
        ({'size': (400, 0)}, r'^tile size=\(400, 0\): expected at least 32'),
        ({'size': 400, 'overlap': 400}, r'^tile overlap=400: expected at least 0 and'),
        ({'size': 400, 'overlap': -1}, r'^tile overlap=-1: expected at least 0 and'),
        ({'size': 400, 'overlap': 1.0}, r'^tile overlap=1\.0: .* \(or a share below 1'),
        ({'size': 400, 'overlap': float('nan')}, r'^tile overlap=nan: expected'),
        ({'size': 400, 'overlap': True}, r'^tile overlap=True: expected pixels'),
        ({'size': 400, 'overlap': '9'}, r"^tile overlap='9': expected pixels"),
        ({'size': (400, 64), 'overlap': 64}, r'less than the size of a tile, 64'),
        ({'size': 400, 'batch_size': 0}, r'^batch_size=0: expected at least 1'),
    ],
)
def test_exception(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        TiledBackend(Blobs(), **settings)


def test_exception_too_many_tiles() -> None:
    assert len(Tiling(size=1024, overlap=128).tiles(20_000, 20_000)) == 529
    message = (
        r'^tile size=32, overlap=31: expected at most 4096 tiles an image, not the '
        r'19969 of 20000x10 pixels; make'
    )
    backend = Blobs()
    with pytest.raises(ValueError, match=message):
        TiledBackend(backend, size=32, overlap=31)([np.zeros((10, 20_000, 3), 'uint8')])
    assert not backend.batches
    # Neither of the two sides alone says it.
    with pytest.raises(ValueError, match=r'not the 4225 of 2080x2080'):
        Tiling(size=32, overlap=0).tiles(2080, 2080)


def test_exception_labels() -> None:
    with pytest.raises(ValueError, match=r'^tile size=400: expected none with a class'):
        TiledBackend(Labels(), size=400)
