"""What each entry of ``package.json`` may be, taken alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from mmdefect.utils.checks import brief, check_number, check_type, repeated


def _check_names(name: str, value: Any) -> None:
    names = value if isinstance(value, list) else []
    texts = [one for one in names if isinstance(one, str) and one.strip()]
    if not texts or len(texts) < len(names) or repeated(texts):
        raise ValueError(f'{name}={brief(value)}: expected a list of different names')


def _check_file_name(name: str, value: Any) -> None:
    _text(name, value)
    if value != Path(value).name or value == '..':
        raise ValueError(f'{name}={value!r}: expected a name without folders')


def _check_most(name: str, value: Any) -> None:
    check_number(name, value, -1, whole=True)
    if value == 0:
        raise ValueError(f'{name}=0: expected at least 1, or -1 for all')


def _check_alarms(name: str, value: Any) -> None:
    _object(name, value)
    for product, told in value.items():
        _object(f'{name}[{product!r}]', told)
        _text(f'{name}[{product!r}].text', told.get('text'))


Check: TypeAlias = Callable[[str, Any], None]
_flag = partial(check_type, kind=bool, expected='true or false')
_text = partial(check_type, kind=str, expected='text')
_object = partial(check_type, kind=dict, expected='an object')
_share = partial(check_number, low=0, high=1)
_count = partial(check_number, low=-1, whole=True)
#: Settings from the outputs of a detector to its boxes.
SUPPRESSION: dict[str, Check] = {
    'postprocess.score_threshold': _share,
    'postprocess.nms_pre': _count,
    'postprocess.iou_threshold': _share,
    'postprocess.nms_offset': partial(check_number, low=0, high=1, whole=True),
    'postprocess.class_agnostic': _flag,
    'postprocess.max_per_image': _check_most,
    'postprocess.min_box_size': check_number,
}
#: The same, which not every detector has.
SUPPRESSION_OPTIONS: dict[str, Check] = {'postprocess.suppress_across': _share}
#: Settings from a map to that of the original image.
SMOOTHING: dict[str, Check] = {'postprocess.sigma': partial(check_number, low=0)}
#: What is looked at before anything is made of it; the rest is checked by what is made.
FIELDS: dict[str, Check] = {
    'classes': _check_names,
    'thresholds': _object,
    'calibrated': _flag,
    'routes': _flag,
    'alarms': _check_alarms,
    'postprocess': _object,
    'about': _object,
    'parity': _object,
    'graph': _object,
    'graph.file': _check_file_name,
    'graph.sha256': _text,
    'graph.inputs': _check_names,
    'graph.outputs': _check_names,
}
#: Of the second file, where there is one.
WEIGHTS: dict[str, Check] = {
    'graph.weights': _object,
    'graph.weights.file': _check_file_name,
    'graph.weights.sha256': _text,
}


def check_fields(content: Mapping[str, Any], fields: Mapping[str, Check]) -> None:
    """Run each check on the entry at its dotted path.

    Raises:
        ValueError: Naming the first that is missing or wrong.
    """
    for path, check in fields.items():
        value: Any = content
        for key in path.split('.'):
            if key not in value:
                raise ValueError(f'{path} is missing')
            value = value[key]
        check(path, value)
