"""Every command in the documents is in a table, and says nothing that is not there.

Those that can run on drawn data are run by the files beside this one, `make test-slow`.
"""

from __future__ import annotations

import re
from functools import lru_cache

import pytest

from tests.conftest import REPO
from tests.helpers.doc_checks import (
    PATH,
    bases,
    inline_commands,
    missing_paths,
    parse,
    parse_command,
    prose,
    tool_of,
    unknown_keys,
)
from tests.helpers.doc_commands import (
    TABLES,
    Plan,
    blocks,
    differences,
    documents,
    expanded,
    read_table,
    read_tables,
)

PLANS = read_tables()
# What a page tells the reader to write, or names half.
READERS_OWN = {
    'configs/uniad/uniad-ewc.py',
    'configs/erd/erd_',
    'mmdefect/datasets/splits/neu_det_',
    'configs/_base_/datasets/my_line.py',
    'configs/my_method',
}

each_document = pytest.mark.parametrize('document', documents())


@lru_cache
def commands_of(document: str) -> list[list[str]]:
    """Words of every command that a document shows, each turn of a loop."""
    found = expanded(document, PLANS.get(document, Plan([])))
    return [words for turns in found.values() for words in turns]


def test_smoke_something_is_found() -> None:
    """In all, and of what is hard to read: a loop, braces, several lines."""
    assert sum(len(plan.commands) for plan in PLANS.values()) >= 100
    assert set(PLANS) <= set(documents())
    (turns,) = (
        found
        for found in expanded(
            'docs/guides/pruning.md', PLANS['docs/guides/pruning.md']
        ).values()
        if len(found) > 1
    )
    assert [turn[4] for turn in turns] == [
        f'work_dirs/cracks/default_seed{seed}' for seed in (0, 1, 2)
    ]
    (braces,) = (
        found[0]
        for found in expanded(
            'docs/guides/casting.md', PLANS['docs/guides/casting.md']
        ).values()
        if 'train_dataloader.dataset.data_root=data/toy/casting' in found[0]
    )
    assert 'val_dataloader.dataset.data_root=data/toy/casting' in braces


def test_feature_every_command_is_in_a_table() -> None:
    """And the tables hold no other; tests/docs/*.yml say why one is not run."""
    for document in documents():
        assert not differences(document, PLANS.get(document, Plan([])))


def test_feature_reasons() -> None:
    """What is not run says why, or who runs it."""
    for plan in PLANS.values():
        for entry in plan.commands:
            assert entry.reason is None or len(entry.reason) > 10, entry.text
            if entry.same_as is not None:
                others = {c.text for c in PLANS[entry.same_as].commands if c.runs}
                assert entry.text in others, entry.text


def test_feature_each_table_trains_or_predicts_cold() -> None:
    """A tool that only works in a Python that has torch imported would fail."""
    for path in TABLES:
        plans = read_table(path).values()
        cold = [e for plan in plans for e in plan.commands if e.cold or plan.cold]
        texts = [entry.text for entry in cold if entry.runs]
        assert any(text.startswith('tools/dist_') for text in texts), path


def test_feature_paths_are_there() -> None:
    """Of commands and of the running text."""
    for document in documents():
        words = [word for words in commands_of(document) for word in words]
        words += PATH.findall(prose(document))
        assert set(missing_paths(words)) <= READERS_OWN, document


@each_document
def test_feature_tools_know_their_arguments(document: str) -> None:
    """Flags, choices, and the keys of `--cfg-options`."""
    for words in commands_of(document):
        if words[0] == 'make':
            makefile = (REPO / 'Makefile').read_text(encoding='utf-8')
            assert re.search(rf'^{words[1]}:', makefile, re.MULTILINE), words
        elif words[0] in ('mmdefect', 'tools/dist_predict.sh'):
            parse_command(words)
        elif tool := tool_of(words):
            assert not unknown_keys(parse(*tool)), words
    for words in inline_commands(document):
        if tool := tool_of(words):
            parse(*tool)


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('tools/train.py config.py --resum', None),
        ('tools/train.py config.py --resumee', '--resumee'),
        ('tools/dist_train.sh config.py --resume', 'number of GPUs'),
        ('tools/misc/make_toy_data.py data/toy --dataset steel', 'steel'),
    ],
)
def test_exception_argument(words: str, message: str | None) -> None:
    """What argparse takes is taken, its abbreviations too."""
    if message is None:
        parse(*tool_of(words.split()))
        return
    with pytest.raises(ValueError, match=message):
        parse(*tool_of(words.split()))


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        ('mmdefect doctor --jsonn', '--jsonn'),
        ('mmdefect predicct model photos', 'expected one of predict'),
        ('mmdefect export model', 'OUT'),
        ('mmdefect train config.py --resumee', '--resumee'),
    ],
)
def test_exception_argument_of_a_command(words: str, message: str) -> None:
    parse_command(['mmdefect', 'predict', 'model', 'photos', '--out', 'results'])
    with pytest.raises(ValueError, match=message):
        parse_command(words.split())


@pytest.mark.parametrize(
    ('key', 'known'),
    [
        ('train_cfg.max_epochs', True),
        ('test_dataloader.dataset.pipeline.1.scale', True),
        ('test_evaluator.classwise', True),
        ('default_hooks.mine.type', True),
        ('train_cfg.max_epoch', False),
        ('test_evaluator.class_wise', False),
        ('test_dataloader.dataset.pipeline.9.scale', False),
    ],
)
def test_feature_keys(key: str, known: bool) -> None:
    config = 'configs/gfl/gfl_r18_fpn_toy_neu-det.py'
    arguments = parse('tools/train.py', [config, '--cfg-options', f'{key}=1'])
    assert unknown_keys(arguments) == ([] if known else [key])


def test_feature_bases_are_there() -> None:
    for document in documents():
        for _, lines in blocks(document, ['python']):
            for path in bases(document, lines):
                assert path.is_file(), f'{document}: {path}'
        for name in re.findall(r'mmdefect::([\w./+-]+\.py)', prose(document)):
            assert (REPO / 'configs' / name).is_file(), f'{document}: {name}'
