from __future__ import annotations

import pytest
from mmengine.config import Config

from mmdefect.streams.stream import Stream

CLASSES = ['a', 'b', 'c']


class EchoStream(Stream):
    """A task that only writes down what it was asked."""

    def specialise(self, cfg, step):
        cfg.told = self.seen_classes(step)


def make(**kwargs):
    return EchoStream(**{'protocol': '2+1', 'classes': CLASSES, **kwargs})


def test_smoke_class_bookkeeping():
    stream = make()
    assert len(stream) == 2
    assert stream.classes == CLASSES
    assert stream.old_classes(0) == []
    assert stream.new_classes(1) == ['c']
    assert stream.seen_classes(1) == CLASSES
    assert stream.train_classes(1) == ['c']
    assert make(train_on='seen').train_classes(1) == CLASSES
    assert stream.starts_from_previous(1)
    assert not stream.starts_from_previous(0)
    assert not make(init='scratch').starts_from_previous(1)


def test_feature_merge_order():
    cfg = Config(
        {
            'stream': {},
            'runner_type': 'x',
            'a': 'config',
            'b': 'config',
            'c': 'config',
            'd': 'config',
            'nested': {'x': 0, 'y': 0},
            'cfg_options': {'d': 'cli', 'nested.y': 9, 'stream.protocol': '1+2'},
        }
    )
    stream = make(
        base={'a': 'base', 'nested': {'x': 1}},
        increment={'b': 'increment', 'c': 'increment', 'd': 'increment'},
        steps={'1': {'c': 'step'}},
    )
    zero, one = stream.resolve(cfg, 0), stream.resolve(cfg, 1)
    assert (zero.a, zero.b, zero.c, zero.d) == ('base', 'config', 'config', 'cli')
    assert (one.a, one.b, one.c, one.d) == ('config', 'increment', 'step', 'cli')
    assert zero.nested == {'x': 1, 'y': 9}
    assert zero.told == ['a', 'b']
    for key in ('stream', 'runner_type', 'cfg_options'):
        assert key in cfg
        assert key not in one


def test_feature_resolve_twice_is_the_same():
    # MMEngine's merge pops `_delete_`, so a careless merge works only once.
    cfg = Config({'model': {'x': 1}})
    stream = make(increment={'model': {'_delete_': True, 'y': 2}})
    assert stream.resolve(cfg, 1).model == {'y': 2}
    assert stream.resolve(cfg, 1).model == {'y': 2}
    assert cfg.model == {'x': 1}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'train_on': 'all'}, "stream.train_on='all': expected one of"),
        ({'init': 'zero'}, "stream.init='zero': expected one of"),
        ({'steps': {7: {}}}, 'stream.steps=7: expected at least 0 and at most 1'),
    ],
)
def test_exception(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


@pytest.mark.parametrize('step', [-1, 2])
def test_exception_no_such_step(step):
    with pytest.raises(ValueError, match=f'step={step}: expected at least 0 and at mo'):
        make().resolve(Config({}), step)
