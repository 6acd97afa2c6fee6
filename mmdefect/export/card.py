"""The model card: what a package is, in plain words, for whoever finds it on a box."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdefect.deploy.package import Package
from mmdefect.deploy.spec import ModelSpec
from mmdefect.utils.checks import some_of

#: What images are called that an export has to draw.
DRAWN = 'drawn images'
_WHAT = {
    'boxes': 'finds defects on an image and draws a box around each',
    'maps': 'says how unusual an image of a known product is, and where',
    'labels': 'sorts images into kinds',
}


_ROUTES = (
    '\n\nWhich one is seen is recognised; an image of none of them is an `unknown '
    'product`. Where the line knows it: `DefectInferencer(..., product=...)`.'
)


def model_card(package: Package) -> str:
    """The card of a package, in Markdown."""
    spec, about = package.spec, package.spec.about
    name = Path(str(about.get('config') or about.get('model') or 'model')).stem
    parts = [
        f'# {name}',
        f'This package {_WHAT[spec.task]}. It was exported by mmdefect '
        f'{about.get("mmdefect", "?")} on {about.get("exported", "?")} and runs with '
        f'{_runtime(package)}; neither torch nor OpenMMLab is needed.',
        _classes(package),
        _decision(package),
        _input(package),
        _how_to_run(package),
        _provenance(package),
        _parity(package),
    ]
    return '\n\n'.join(parts) + '\n'


def _runtime(package: Package) -> str:
    onnx = package.graph.format == 'onnx'
    return 'ONNX Runtime or OpenVINO' if onnx else 'OpenVINO'


def _classes(package: Package) -> str:
    what = 'Products' if package.spec.task == 'maps' else 'Classes'
    rows = '\n'.join(f'- {name}' for name in package.spec.classes)
    told = _ROUTES if package.spec.routes else ''
    return f'## {what}\n\n{rows}{told}'


def _decision(package: Package) -> str:
    spec = package.spec
    known = [
        f'- {name}: {threshold:.4g}{_evidence(spec, name)}'
        for name in ([spec.defective] if spec.defective else spec.classes)
        if (threshold := spec.threshold_of(name)) is not None
    ]
    if spec.task == 'labels' and spec.defective is None:
        text = 'The likeliest class is named; nothing is called ok or defective.'
    elif not known:
        text = 'No threshold is known: every image is `undecided` until one is given.'
    else:
        chosen = 'chosen on validation images' if spec.calibrated else 'not calibrated'
        rows = '\n'.join(known)
        text = f'Called a defect from these scores on ({chosen}):\n\n{rows}'
    return (
        f'## Decision\n\n{text}\n\nThresholds stand in `package.json`, outside the '
        'graph: change them there, or by `DefectInferencer(..., threshold=...)`.'
    )


def _evidence(spec: ModelSpec, name: str) -> str:
    told = spec.evidence_of(name)
    return f' ({told})' if told else ''


def _input(package: Package) -> str:
    spec = package.input
    size = f'{spec.size[0]} x {spec.size[1]} pixels' if spec.size else 'of varying size'
    steps = ', '.join(str(step['op']) for step in spec.steps) or 'none'
    mean = 'none' if spec.mean is None else ', '.join(f'{v:g}' for v in spec.mean)
    std = 'none' if spec.std is None else ', '.join(f'{v:g}' for v in spec.std)
    return (
        '## Input\n\nImages of 8 or 16 bits, grey or in colour, of any size. The '
        f'inferencer prepares them as in training (steps: {steps}); in the graph they '
        f'are {size}, {spec.channels} channels in {spec.colour.upper()} order, mean '
        f'{mean}, standard deviation {std}.'
    )


def _how_to_run(package: Package) -> str:
    extra = 'edge' if package.graph.format == 'onnx' else 'edge,openvino'
    return (
        '## How to run\n\n```python\n'
        f"# pip install 'mmdefect[{extra}]'\n"
        'from mmdefect.apis import DefectInferencer\n\n'
        "for result in DefectInferencer('.')('photos'):\n"
        '    print(result.source, result.decision, result.kinds)\n```'
    )


def _provenance(package: Package) -> str:
    about = package.spec.about
    names = {
        'config': 'config',
        'config_sha256': 'SHA-256 of the config',
        'checkpoint_sha256': 'SHA-256 of the checkpoint',
        'commit': 'commit of mmdefect',
        'step': 'step of the stream',
    }
    rows = [
        f'- {text}: {about[key]}'
        for key, text in names.items()
        if about.get(key) is not None
    ]
    graph = package.graph
    rows.append(f'- SHA-256 of {graph.file}: {graph.sha256} ({graph.precision})')
    return '## Where it comes from\n\n' + '\n'.join(rows)


def _parity(package: Package) -> str:
    other = 'float32' if 'int8' in package.parity else 'the checkpoint'
    return '\n\n'.join([f'## Compared with {other}', *comparison(package.parity)])


def comparison(parity: Mapping[str, Any]) -> list[str]:
    """What an export has compared: a sentence, and one for each doubt about it."""
    if 'int8' in parity:
        return [_int8(parity['int8'])]
    if 'largest_difference' not in parity:
        found = some_of([f'{key}: {value}' for key, value in parity.items()])
        return [found or 'Not measured.']
    worst = ', '.join(
        f'{name} {value:.2g} (allowed {parity["tolerance"][name]:g})'
        for name, value in parity['largest_difference'].items()
    )
    boxes = parity.get('detections')
    shown = '' if boxes is None else f', {boxes} boxes'
    lines = [
        f'On {parity["source"]}, with {parity["runtime"]}{shown}: all decisions equal; '
        f'largest difference of {worst}.'
    ]
    if boxes == 0:
        lines.append(
            'WARNING: on these images neither model nor package finds a box, so that '
            'nothing but this was compared: export with --images that show defects.'
        )
    if DRAWN in parity['source']:
        lines.append(
            'WARNING: these images are drawn and show no parts: export with --images '
            'of real ones.'
        )
    return lines


def _int8(found: Mapping[str, Any]) -> str:
    """What was lost and won by numbers of eight bits."""
    return (
        f'On {found["images"]} labelled images, '
        f'{found["measure"]}: {100 * found["int8"]:.2f} % in int8, '
        f'{100 * found["float32"]:.2f} % in float32. One image took '
        f'{found["int8_ms"]:.2f} ms and {found["float32_ms"]:.2f} ms '
        f'({found["gain"]:.2f} times as fast, {found["runtime"]}), where it was '
        f'exported. Activations were calibrated on {found["calibrated_on"]} images.'
    )
