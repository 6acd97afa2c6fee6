"""From scores to decisions: ok, defective, of which kind. No pixel is looked at."""

from __future__ import annotations

import numpy as np

from mmdefect.deploy.outputs import BoxOutput, LabelOutput, MapOutput, Output
from mmdefect.deploy.result import Prediction
from mmdefect.deploy.spec import Decision, ModelSpec


def decide(
    output: Output,
    spec: ModelSpec,
    *,
    source: str,
    size: tuple[int, int],
    product: str | None = None,
) -> Prediction:
    """Decide on one image.

    Args:
        output: What the model says.
        spec: Of the model, with its thresholds.
        source: Of the image, for the result.
        size: Width and height of the original image.
        product: Which product it is, if the caller knows.

    Returns:
        With ``error`` if a number of the output is none: compared with a threshold, NaN
        would be called ok.
    """
    wrong = [
        name
        for name in ('boxes', 'scores', 'probabilities', 'anomaly_map', 'score')
        if not np.isfinite(getattr(output, name, 0)).all()
    ]
    if wrong:
        error = (
            f'the model gives NaN or infinite numbers ({", ".join(wrong)}) for '
            f'{source}: expected finite ones; check its weights, mean and std'
        )
        return failed(error, spec, source=source)
    if isinstance(output, BoxOutput):
        return _boxes(output, spec, source, size)
    if isinstance(output, LabelOutput):
        return _labels(output, spec, source, size)
    return _map(output, spec, source, size, product)


def failed(error: str, spec: ModelSpec, *, source: str) -> Prediction:
    """The result of an image that could not be read or looked at."""
    return Prediction(
        source=source, task=spec.task, calibrated=spec.calibrated, error=error
    )


def _boxes(
    output: BoxOutput, spec: ModelSpec, source: str, size: tuple[int, int]
) -> Prediction:
    names = tuple(spec.classes[label] for label in output.labels)
    given = [spec.threshold_of(name) for name in names]
    # Without one nothing is called a defect, and nothing ok.
    known = [np.nan if value is None else value for value in given]
    thresholds = np.array(known, np.float32)
    score, threshold = None, None
    if len(names):
        best = int(np.argmax(np.nan_to_num(output.scores - thresholds, nan=-np.inf)))
        score, threshold = float(output.scores[best]), given[best]
    decided = all(spec.threshold_of(name) is not None for name in spec.classes)
    meets = bool((output.scores >= thresholds).any())
    decision: Decision = 'defective' if meets else 'ok'
    return Prediction(
        source=source,
        task='boxes',
        size=size,
        decision=decision if decided else 'undecided',
        calibrated=spec.calibrated,
        threshold=threshold,
        score=score,
        boxes=output.boxes,
        scores=output.scores,
        labels=output.labels,
        names=names,
        thresholds=thresholds,
    )


def _labels(
    output: LabelOutput, spec: ModelSpec, source: str, size: tuple[int, int]
) -> Prediction:
    probabilities = output.probabilities
    label = int(probabilities.argmax())
    decision: Decision = 'undecided'
    score, threshold = None, None
    if spec.defective is not None:
        at = spec.classes.index(spec.defective)
        score, threshold = float(probabilities[at]), spec.threshold_of(spec.defective)
        if threshold is not None:
            # In float32, in which the threshold was chosen.
            defective = bool(probabilities[at] >= np.float32(threshold))
            others = np.where(np.arange(len(probabilities)) == at, -1, probabilities)
            label = at if defective else int(others.argmax())
            decision = 'defective' if defective else 'ok'
    return Prediction(
        source=source,
        task='labels',
        size=size,
        decision=decision,
        calibrated=spec.calibrated,
        threshold=threshold,
        score=score,
        label=label,
        name=spec.classes[label],
        probability=float(probabilities[label]),
        probabilities=probabilities,
    )


def _map(
    output: MapOutput,
    spec: ModelSpec,
    source: str,
    size: tuple[int, int],
    product: str | None,
) -> Prediction:
    unknown = output.unknown and product is None
    product = product or output.product
    threshold = None if unknown else spec.threshold_of(product)
    decision: Decision = 'unknown product' if unknown else 'undecided'
    evidence = None if threshold is None else spec.evidence_of(product)
    if threshold is not None:
        decision = 'defective' if output.score >= threshold else 'ok'
    return Prediction(
        source=source,
        task='maps',
        size=size,
        decision=decision,
        calibrated=spec.calibrated or evidence is not None,
        threshold=threshold,
        score=output.score,
        anomaly_map=output.anomaly_map,
        product=product,
        evidence=evidence,
    )
