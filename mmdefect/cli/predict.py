"""``mmdefect predict``: a line an image, a summary, and results that outlive a kill."""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.cli.arguments import (
    add_bits,
    add_device,
    add_line,
    add_model,
    add_threshold,
    add_tile,
    model_settings,
    threshold_of,
    tile_of,
)
from mmdefect.cli.predict_line import of_line, recorded
from mmdefect.cli.result_files import (
    LABELME,
    PICTURES,
    labelme_file,
    picture_of,
    shared_stems,
)
from mmdefect.cli.results import ResultFolder, video_of, write_coco, write_list
from mmdefect.cli.shards import LAUNCHERS, Share, share_of, take_gpu
from mmdefect.deploy.spec import DECISIONS

if TYPE_CHECKING:
    from mmdefect.apis.inferencer import DefectInferencer
    from mmdefect.deploy.result import Prediction
    from mmdefect.line.record import Recorder

HELP = """Look at images with a trained model or a package, and decide on each.

MODEL is the work dir of a training, a config (with --weights), or a package; with
--line it may be left out: the version in use looks, and is written down. INPUT is
an image, a folder, a glob, a video, or the number of a camera. With --out the results
are kept in results.jsonl, and the same command goes on where it was stopped. Exit
status 1 if there is no result at all."""

#: `MODEL --out DIR INPUT` is as good as `MODEL INPUT --out DIR`, and MODEL optional.
INTERMIXED = True
FORMATS = ('jsonl', 'json', 'coco', 'labelme')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_model(parser, optional=True)
    add_device(parser)
    parser.add_argument('inputs', metavar='INPUT', nargs='+', help='what to look at')
    add_line(parser, 'in place of MODEL')
    parser.add_argument(
        '--backend',
        default='auto',
        choices=['auto', 'torch', 'onnxruntime', 'openvino'],
        help='what computes a package (auto)',
    )
    parser.add_argument(
        '--batch-size', type=int, default=1, metavar='N', help='images at once (1)'
    )
    add_tile(parser)
    add_threshold(parser)
    parser.add_argument(
        '--product', metavar='NAME', help='which one is seen, for models of maps'
    )
    add_bits(parser)
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--out', type=Path, metavar='DIR', help='keep the results here')
    parser.add_argument(
        '--format',
        choices=FORMATS,
        default='jsonl',
        help='write them in this form, too: results.json, coco.json, or labelme/',
    )
    parser.add_argument(
        '--save-pictures', action='store_true', help='draw them into DIR/pictures'
    )
    parser.add_argument(
        '--everything', action='store_true', help='boxes below their threshold, too'
    )
    parser.add_argument(
        '--overwrite', action='store_true', help='remove the results that are in DIR'
    )
    parser.add_argument('--quiet', action='store_true', help='print the summary only')
    parser.add_argument(
        '--launcher',
        choices=LAUNCHERS,
        default='none',
        help='of several processes that share the images: see tools/dist_predict.sh',
    )


def run(args: argparse.Namespace) -> int:
    """Look at all images; see :data:`HELP`."""
    from mmdefect.cli.inputs import full_name, left_out, listed

    share = share_of(args.launcher)
    recorder = of_line(args)
    _check(args, share)
    items: dict[str, str | int] = {}
    for item in chain.from_iterable(map(listed, args.inputs)):
        items.setdefault(full_name(item), item)
    folder = None if args.out is None else ResultFolder(args.out, share=share)
    take_gpu(args.launcher)
    inferencer = _opened(args)
    if not share.rank:
        _say_step(args, inferencer)
    if folder is None:
        found = _results(inferencer, [*items.values()], args, recorder)
        status = _finish(_counted(found), inferencer)
    else:
        status = _kept(folder, inferencer, items, args, recorder)
    if not share.rank and (line := left_out(args.inputs, items)):
        print(line)
    return status


def _kept(
    folder: ResultFolder,
    inferencer: DefectInferencer,
    items: Mapping[str, str | int],
    args: argparse.Namespace,
    recorder: Recorder | None,
) -> int:
    """Look at all images, and write down what is found."""
    if args.format == 'coco' and inferencer.spec.task == 'labels':
        raise ValueError(
            "format='coco': expected a model of boxes or maps, a class has no place in "
            'the image; take jsonl or labelme'
        )
    with closing(folder):
        folder.open(_settings(args, inferencer), anew=args.overwrite)
        return _into(folder, inferencer, items, args, recorder)


def _check(args: argparse.Namespace, share: Share) -> None:
    """Refuse what does not go together, before a model is loaded."""
    from mmdefect.cli.inputs import names_pictures_of

    asked = {
        '--format': args.format != 'jsonl',
        '--save-pictures': args.save_pictures,
        '--everything': args.everything,
        '--overwrite': args.overwrite,
        '--launcher': args.launcher != 'none',
    }
    for name, given in asked.items():
        if given and args.out is None:
            raise ValueError(f'{name}: expected --out as well; say where to')
    if args.line is not None and args.threshold is not None:
        raise ValueError(
            f'--threshold {" ".join(args.threshold)}: expected none with --line, whose '
            'exams have seen the thresholds of its versions only; calibrate, export '
            'and promote what has others'
        )
    if args.line is not None:
        from mmdefect.line.opening import refuse_other_looks

        refuse_other_looks(args.line, tile=args.tile, bits=args.bits)
    if args.save_pictures:
        pictures = args.out / PICTURES
        for given in (g for g in args.inputs if names_pictures_of(g, pictures)):
            raise ValueError(
                f'--out {args.out}: expected a folder outside of {given}, or its '
                'pictures would be looked at the next time; choose another'
            )
    if args.overwrite and share.world > 1:
        raise ValueError(
            '--overwrite: expected one process; remove the folder, then start several'
        )


def _opened(args: argparse.Namespace) -> DefectInferencer:
    from mmdefect.apis.inferencer import DefectInferencer

    return DefectInferencer(
        **model_settings(args),
        backend=args.backend,
        batch_size=args.batch_size,
        tile=tile_of(args) if args.line is None else 'calibrated',
        threshold=threshold_of(args),
        product=args.product,
        bits=args.bits,
    )


def _say_step(args: argparse.Namespace, inferencer: DefectInferencer) -> None:
    """Say which step of a stream looks, if others are not trained yet."""
    from mmdefect.deploy.package import is_package

    step = inferencer.spec.about.get('step')
    work_dir = Path(args.model)
    if step is None or is_package(work_dir) or not work_dir.is_dir():
        return
    from mmdefect.apis.trained import untrained_steps

    if left := untrained_steps(work_dir):
        number = ', '.join(map(str, left))
        print(f'step {step} of {work_dir} looks; not trained yet: {number}')


def _settings(args: argparse.Namespace, inferencer: DefectInferencer) -> dict[str, Any]:
    """What changes results: only with the same may a folder go on."""
    from mmdefect.deploy.package import FILE, is_package
    from mmdefect.deploy.tiling import calibrated_tile
    from mmdefect.utils.files import file_sha256

    package = Path(args.model) / FILE
    return {
        'model': str(Path(args.model).absolute()),
        'package': file_sha256(package) if is_package(args.model) else None,
        **{
            name: getattr(args, name)
            for name in ('weights', 'step', 'tile', 'threshold', 'product', 'bits')
        },
        **{name: getattr(args, name) for name in ('everything', 'save_pictures')},
        **({} if args.line is None else {'cut into': calibrated_tile(inferencer.spec)}),
        'format': args.format,
        'description of the model': asdict(inferencer.spec),
    }


def _results(
    inferencer: DefectInferencer,
    items: list[str | int],
    args: argparse.Namespace,
    recorder: Recorder | None,
) -> Iterator[Prediction]:
    """Results, each written down in a line's log and printed when it is there."""
    if not items:
        return
    shown = args.quiet and sys.stderr.isatty()
    keep = args.save_pictures or recorder is not None
    looked = inferencer(
        items,
        show_progress=shown,
        keep_images=keep,
        keep_files=recorder is not None,
    )
    for found in looked:
        prediction = found if recorder is None else recorded(recorder, found)
        if not args.quiet:
            print(prediction, flush=True)
        yield prediction


def _into(
    folder: ResultFolder,
    inferencer: DefectInferencer,
    items: Mapping[str, str | int],
    args: argparse.Namespace,
    recorder: Recorder | None,
) -> int:
    """Look at what is left of this process's share, and write it down.

    Args:
        items: What to look at, by its full name.
    """
    share = folder.share
    # Before any is read: one that is replaced from now on is looked at the next time.
    stamps = {name: _stamp(item) for name, item in items.items()}
    shared = shared_stems(items) if args.format == 'labelme' else set()
    done = folder.done(stamps)
    # Shared out before what is done is left out: all processes must agree.
    left = [items[name] for name in share.of([*items]) if name not in done]
    if done and share.rank == 0:
        print(f'{len(done)} of {len(items)} were done before')
    for prediction in _results(inferencer, left, args, recorder):
        folder.add(_written(prediction, folder.folder, stamps, shared, args))
    if share.rank:
        share.say_done(folder.folder)
        return 0
    share.wait_for_others(folder.folder)
    folder.merge([*items])
    _write_format(folder, args.format, inferencer)
    status = _finish(folder.counts(), inferencer)
    print(f'results: {folder.folder}')
    return status


def _stamp(item: str | int) -> list[int] | None:
    """Size and time of a file, by which one that was replaced is told."""
    try:
        state = Path(str(item)).stat()
    except OSError:  # a camera
        return None
    return [state.st_size, state.st_mtime_ns]


def _written(
    prediction: Prediction,
    out: Path,
    stamps: Mapping[str, list[int] | None],
    shared: set[str],
    args: argparse.Namespace,
) -> dict[str, Any]:
    """Write what has files of its own, and return the line of the results."""
    from mmdefect.cli.inputs import full_name
    from mmdefect.deploy.saving import encoded
    from mmdefect.utils.files import in_one_piece, write_json

    everything = args.everything
    name = full_name(prediction.source)
    stamp = stamps.get(name) or stamps.get(video_of(name))
    record = prediction.to_dict(everything=everything) | {'source': name, 'file': stamp}
    if prediction.error is not None:
        return record
    if args.save_pictures:
        record['picture'] = picture_of(name)
        with in_one_piece(out / record['picture']) as draft:
            draft.write_bytes(encoded(prediction.draw()))
    if args.format == 'coco':
        record['coco'] = prediction.to_coco(everything=everything)
    if args.format == 'labelme':
        content = prediction.to_labelme(everything=everything)
        content['imagePath'] = os.path.relpath(name, (out / LABELME).resolve())
        record['labelme'] = labelme_file(out, name, shared)
        write_json(out / record['labelme'], content)
    return record


def _write_format(
    folder: ResultFolder, form: str, inferencer: DefectInferencer
) -> None:
    if form == 'json':
        write_list(folder.folder / 'results.json', folder.records())
    if form == 'coco':
        spec = inferencer.spec
        names = ('anomaly',) if spec.task == 'maps' else spec.classes
        write_coco(folder.folder / 'coco.json', folder.records(), names)


def _counted(predictions: Iterable[Prediction]) -> Counter[str]:
    return Counter(
        one.decision if one.error is None else 'error' for one in predictions
    )


def _finish(counts: Counter[str], inferencer: DefectInferencer) -> int:
    """Print the summary; 1 if there is no result at all."""
    total = counts.total()
    errors = counts['error']
    routes = inferencer.spec.routes
    shown = [name for name in DECISIONS if routes or name != 'unknown product']
    parts = [f'{counts[name]} {name}' for name in shown]
    parts.append(f'{errors} {"error" if errors == 1 else "errors"}')
    doubt = '' if inferencer.spec.calibrated else ' (not calibrated)'
    print(f'{total} {"image" if total == 1 else "images"}: {", ".join(parts)}{doubt}')
    return int(errors == total)
