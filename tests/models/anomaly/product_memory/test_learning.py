"""A product from its good images."""

from __future__ import annotations

import pytest
import torch

from mmdefect.functional.coreset import nearest_distance
from mmdefect.functional.maps import top_mean
from mmdefect.functional.whitening import fit_subspace, project
from mmdefect.models.anomaly.product_memory.learning import learn
from mmdefect.models.anomaly.product_memory.recipe import Recipe
from mmdefect.models.anomaly.product_memory.seen import SeenImage, SeenProduct

PLACES, CHANNELS = 16, 6


def recipe(**changes):
    settings = {
        **{'per_class': 20, 'candidates': 10_000, 'pca': 0.99, 'whiten': 0.07},
        **{'window': None, 'search': 'bank', 'score': 'top_mean', 'top': 0.1},
        **{'hold_out': 0.2, 'rate': 0.3, 'confidence': 0.7},
    }
    return Recipe(**{**settings, **changes})


def image(number, **changes):
    generator = torch.Generator().manual_seed(number)
    patches = torch.randn(PLACES, CHANNELS, generator=generator).half()
    settings = {
        'key': f'train/good/{number}.png',
        'patches': patches,
        'count': PLACES,
        'embedding': torch.nn.functional.normalize(patches.float().mean(0), dim=0),
    }
    return SeenImage(**{**settings, **changes})


def seen(numbers, **changes):
    product = SeenProduct('lid', recipe(**changes))
    for number in numbers:
        product.add(image(number), f'digest {number}')
    return product


def split(count, number):
    """Keys of the images that are held out, and of the others."""
    ordered = sorted((image(k) for k in range(count)), key=lambda i: i.order)
    return ordered[:number], ordered[number:]


def test_feature_a_bank_by_the_plain_form():
    """Four of seven certify: a fifth is fewer, so four are held out of twenty."""
    made = learn(seen(range(20)))
    held, kept = split(20, 4)
    points = torch.cat([i.patches for i in kept]).float()
    space = fit_subspace(points, share=0.99, shrinkage=0.07)
    assert made.facts.tolist() == [16, 0, -1]
    torch.testing.assert_close(made.mean, points.mean(0), atol=1e-6, rtol=0)
    known = project(points, space)
    assert len(made.vectors) == 20
    # Float16 holds three digits.
    assert nearest_distance(made.vectors.float(), known).max() < 2e-2
    scores = [
        top_mean(
            nearest_distance(
                project(i.patches.float(), made.space), made.vectors.float()
            ),
            0.1,
        )
        for i in held
    ]
    torch.testing.assert_close(made.held[-1], torch.stack(scores), atol=1e-5, rtol=0)
    assert made.held.shape == (20, 4)
    # A smaller prefix knows less.
    assert (made.held[:-1] >= made.held[1:]).all()


def noisy(number, **changes):
    """Its first place varies five times as much as the others."""
    made = image(number)
    made.patches[0] *= 5
    return SeenImage(**{**vars(made), **changes})


def noisy_product(replaced=None, **changes):
    """Of 60, 22 are held out, which certify 10 % at 90 %, and as many kept whole."""
    product = SeenProduct('lid', recipe(rate=0.1, confidence=0.9, **changes))
    for number in range(60):
        other = noisy(number)
        if other.key == replaced:
            other = noisy(99, key=replaced)
        product.add(other, f'digest {number}')
    return product


def test_feature_places_are_made_alike():
    """By images that are kept; the score of a held-out one says the same by hand."""
    made, plain = learn(noisy_product()), learn(noisy_product(even=False))
    assert not len(plain.gain)
    assert torch.equal(made.vectors, plain.vectors)
    ordered = sorted((noisy(k) for k in range(60)), key=lambda i: i.order)
    held, kept = ordered[:22], ordered[22:44]
    maps = plain.distances(torch.stack([i.patches for i in kept]).float(), 'bank')
    level, variance = maps.mean(0), maps.var(0)
    spread = ((variance + variance.mean()) / 2).sqrt()
    expected = level.mean() + spread.mean() * (maps - level) / spread
    found = made.distances(torch.stack([i.patches for i in kept]).float(), 'bank')
    torch.testing.assert_close(found, expected.clamp(min=0), atol=1e-4, rtol=1e-4)
    assert int(made.gain.argmin()) == 0
    scores = [
        top_mean(made.distances(i.patches[None].float(), 'bank')[0], 0.1) for i in held
    ]
    torch.testing.assert_close(made.held[-1], torch.stack(scores), atol=1e-5, rtol=0)


def test_feature_what_is_held_out_does_not_say_how_places_vary():
    first = min((noisy(k) for k in range(60)), key=lambda i: i.order)
    one, other = learn(noisy_product()), learn(noisy_product(replaced=first.key))
    assert torch.equal(one.gain, other.gain)
    assert torch.equal(one.shift, other.shift)
    assert not torch.equal(one.held, other.held)


def folded_product(numbers, **changes):
    """Too few for what would certify 1 %: five folds."""
    product = SeenProduct('lid', recipe(rate=0.01, confidence=0.9, **changes))
    for number in numbers:
        product.add(noisy(number), f'digest {number}')
    return product


def test_feature_a_fold_is_evened_out_by_the_others():
    """By its own maps its scores would be lower than those of any later image."""
    made = learn(folded_product(range(20)))
    assert made.facts.tolist() == [20, 5, -1]
    order = sorted(range(20), key=lambda number: noisy(number).order)
    maps = []
    for fold in range(5):
        rest = [number for number in order if number not in order[fold::5]]
        bank = learn(folded_product(rest, hold_out=0, even=False))
        patches = [noisy(number).patches for number in order[fold::5]]
        maps.append(bank.distances(torch.stack(patches).float(), 'bank'))
    expected = []
    for fold, own in enumerate(maps):
        others = torch.cat([*maps[:fold], *maps[fold + 1 :]])
        level, variance = others.mean(0), others.var(0)
        spread = ((variance + variance.mean()) / 2).sqrt()
        even = level.mean() + spread.mean() * (own - level) / spread
        expected.append(top_mean(even.clamp(min=0), 0.1))
    torch.testing.assert_close(made.held[-1], torch.cat(expected), atol=1e-4, rtol=0)


@pytest.mark.parametrize(('count', 'evened'), [(19, False), (20, True)])
def test_feature_sixteen_maps_of_other_folds_even_out(count, evened):
    assert bool(len(learn(folded_product(range(count))).gain)) == evened


def test_feature_the_order_of_the_images_does_not_matter():
    one, other = learn(seen(range(20))), learn(seen(reversed(range(20))))
    for name, value in one.named_buffers():
        assert torch.equal(value, dict(other.named_buffers())[name]), name


@pytest.mark.parametrize('count', [20, 40])
def test_feature_two_processes_are_one(count):
    """Fewer images than are kept whole, and more; one is seen by both."""
    whole = seen(range(count))
    parts = [seen(range(0, count, 2)), seen([*range(1, count, 2), 0])]
    merged = SeenProduct('lid', recipe())
    for part in parts:
        merged.merge(part)
    assert len(merged) == len(whole) == count
    assert len(merged.images) <= recipe().whole
    one, other = learn(whole), learn(merged)
    for name, value in one.named_buffers():
        assert torch.equal(value, dict(other.named_buffers())[name]), name


def test_feature_more_images_than_are_kept_whole():
    """The others' patches are candidates, those of the held-out ones never are."""
    product = seen(range(40), hold_out=0.2)
    assert recipe().whole == 8
    assert len(product.images) == 8
    made = learn(product)
    held, _ = split(40, 8)
    assert made.facts.tolist() == [32, 0, -1]
    points = torch.cat([i.patches for i in held]).float()
    distances = nearest_distance(project(points, made.space), made.vectors.float())
    assert distances.min() > 0.05


def test_feature_few_images_are_scored_in_folds():
    made = learn(seen(range(6)))
    assert made.facts.tolist() == [6, 5, -1]
    assert made.held.shape == (20, 6)
    limit = made.limit(0.3, 0.7)
    assert limit.number == 6
    assert not limit.certified


def test_feature_nothing_is_held_out():
    made = learn(seen(range(6), hold_out=0))
    assert made.limit(0.3, 0.7) is None
    assert made.facts.tolist() == [6, 0, -1]


def test_feature_copies_count_once():
    product = seen(range(20))
    for number in range(3):
        twin = image(number, key=f'train/good/copy_{number}.png')
        product.add(twin, f'digest {number}')
    assert (len(product), len(product.copies)) == (20, 3)
    one, other = learn(product), learn(seen(range(20)))
    assert torch.equal(one.vectors, other.vectors)


@pytest.mark.parametrize('search', ['subspace', 'gaussian'])
def test_feature_searches_without_a_bank(search):
    made = learn(seen(range(20), search=search, pca=0.8))
    assert made.vectors.shape == (0, 0)
    assert made.held.shape == (1, 4)
    found = made.distances(image(99).patches[None].float(), search)
    assert found.shape == (1, PLACES)
    assert found.isfinite().all()


def test_feature_a_window_is_taken_where_good_images_say_so():
    """Each place has a patch of its own, so all others only confuse."""
    assert learn(seen(range(20), window=2)).window == 2
    product = SeenProduct('lid', recipe(window='auto', per_class=200))
    for number in range(20):
        product.add(image(number), f'digest {number}')
    # Nothing hangs on the place in these: no window, which knows less.
    assert learn(product).window is None


def test_feature_further_views_are_remembered_not_scored():
    views = [
        image(k, patches=torch.cat([image(k).patches, image(k).patches.flip(1)]))
        for k in range(20)
    ]
    product = SeenProduct('lid', recipe())
    for number, view in enumerate(views):
        product.add(view, f'digest {number}')
    made = learn(product)
    assert made.held.shape == (20, 4)
    assert made.places.max() < PLACES


def test_exception_too_few_images():
    product = seen(range(3))
    with pytest.raises(ValueError, match=r"^product 'lid' has 3 different good "):
        learn(product)
    product.add(image(0, key='train/good/twin.png'), 'digest 0')
    with pytest.raises(ValueError, match=r'3 different good images and 1 copies of'):
        learn(product)


def test_exception_images_that_do_not_differ():
    product = SeenProduct('lid', recipe())
    for number in range(20):
        product.add(image(number, patches=image(0).patches), f'digest {number}')
    with pytest.raises(ValueError, match='all good images have the same features'):
        learn(product)
