"""Which classes a dataset config has. Slow: an interpreter without mmdet."""

from __future__ import annotations

import subprocess
import sys

import pytest
from mmengine.config import ConfigDict

from mmdefect.datasets.anomaly.classes import MVTEC_AD_CLASSES
from mmdefect.utils.config import as_list, dataset_classes, innermost
from tests.conftest import REPO, tool_env


def test_feature_of_metainfo():
    cfg = {'type': 'mmdefect.AnomalyDataset', 'metainfo': {'classes': ('b', 'a')}}
    assert dataset_classes(cfg) == ['b', 'a']
    cfg['type'] = 'mmdefect.MVTecADDataset'
    assert dataset_classes(cfg) == ['b', 'a']


def test_feature_of_the_type():
    found = dataset_classes({'type': 'mmdefect.MVTecADDataset'})
    assert found == list(MVTEC_AD_CLASSES)
    assert (len(found), found[0], found[-1]) == (15, 'bottle', 'zipper')
    assert len(dataset_classes({'type': 'mmdefect.VisADataset'})) == 12


def test_feature_of_a_type_without_prefix():
    """It is one of mmdet's."""
    assert len(dataset_classes({'type': 'CocoDataset'})) == 80


def test_exception_no_classes():
    message = r"'mmdefect\.AnomalyDataset' does not say its classes: expected"
    with pytest.raises(ValueError, match=message):
        dataset_classes({'type': 'mmdefect.AnomalyDataset'})


@pytest.mark.parametrize('name', ['mmdefect.AnomalyDatasets', 'NoDataset'])
def test_exception_unknown(name):
    with pytest.raises(ValueError, match=rf"^dataset type '{name}' is not registered"):
        dataset_classes({'type': name})


@pytest.mark.slow
def test_feature_own_types_need_no_mmdet():
    code = (
        'import sys; from mmdefect.utils.config import dataset_classes\n'
        "print(len(dataset_classes({'type': 'mmdefect.VisADataset'})))\n"
        "print('mmdet' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=REPO,
        env=tool_env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.split() == ['12', 'False'], done.stderr[-2000:]


def test_feature_wrappers_and_lists():
    inner = {'type': 'mmdefect.VisADataset'}
    wrapped = {'type': 'RepeatDataset', 'dataset': {'type': 'X', 'dataset': inner}}
    assert innermost(ConfigDict(wrapped)) == inner
    assert innermost(ConfigDict(inner)) == inner
    assert as_list(None) == []
    assert as_list({'type': 'A'}) == [{'type': 'A'}]
    assert as_list(({'type': 'A'}, {'type': 'B'})) == [{'type': 'A'}, {'type': 'B'}]
