"""The folder of results that ``mmdefect predict --out`` fills, and goes on filling.

``results.jsonl`` has one result a line, each written out at once, so that a run that
was killed goes on where it stopped. Of several processes each has a file of its own
until all are done. ``settings.json`` says what the results were made with.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from mmdefect.cli.shards import Share, wait_for
from mmdefect.utils.files import in_one_piece, refuse_full, write_json
from mmdefect.utils.text_files import read_json

RESULTS, SETTINGS = 'results.jsonl', 'settings.json'
PICTURES, LABELME = 'pictures', 'labelme'


class Place(NamedTuple):
    """Where a result stands: the file, the offset of its line, whether it failed."""

    path: Path
    offset: int
    failed: bool


class ResultFolder:
    """Results of one model with one set of settings.

    Args:
        folder: New, empty, or one that an earlier run has left.
        share: Which process this is.

    Raises:
        FileExistsError: The folder holds something else.
    """

    def __init__(self, folder: Path, *, share: Share | None = None) -> None:
        self.folder = folder
        self.share = share or Share()
        self._file: IO[str] | None = None
        if self.share.rank == 0 and not (folder / SETTINGS).is_file():
            refuse_full(folder)

    def open(self, settings: dict[str, Any]) -> None:
        """Say what results are made with, and go on after those that are there.

        Raises:
            FileExistsError: The results that are there were made with other settings.
        """
        path = self.folder / SETTINGS
        settings = json.loads(json.dumps(settings, default=str))
        if self.share.rank:  # the first process looks whose folder it is
            wait_for(path.is_file)
        if path.is_file():
            self._compare(read_json(path, 'settings of the results'), settings)
        else:
            write_json(path, settings)
        own = self.folder / self._own
        self._file = _alone(own)
        _drop_torn_line(own)

    def clear(self) -> None:
        """Remove what an earlier run has written here, and nothing else."""
        for path in [*self._files(), *self._left_by_ranks()]:
            path.unlink(missing_ok=True)
        for name in ('results.json', 'coco.json', SETTINGS):
            (self.folder / name).unlink(missing_ok=True)
        for name, suffix in ((PICTURES, '*.jpg'), (LABELME, '*.json')):
            for path in (self.folder / name).glob(suffix):
                path.unlink()
            with suppress(OSError):  # somebody's own files are in it
                (self.folder / name).rmdir()

    def add(self, record: dict[str, Any]) -> None:
        """Write a result, once the folder is open, so that it outlives this process."""
        if self._file is not None:
            self._file.write(json.dumps(record) + '\n')
            self._file.flush()

    def close(self) -> None:
        """Close the file; everything is in it already."""
        if self._file is not None:
            self._file.close()

    def places(self) -> dict[str, Place]:
        """Where the latest result of every image stands, in the order of the files."""
        found: dict[str, Place] = {}
        for path in self._files():
            for offset, record in _lines(path):
                found[record['source']] = Place(path, offset, 'error' in record)
        return found

    def done(self) -> set[str]:
        """Images that have a result; one that failed is tried again."""
        return {source for source, at in self.places().items() if not at.failed}

    def merge(self, order: Sequence[str]) -> None:
        """Put all results into one file, in the order in which images were named.

        Those of earlier runs that are not named now come first, as they were.
        """
        self.close()
        rank = {source: number for number, source in enumerate(order)}
        places = self.places()
        wanted = sorted(places, key=lambda source: _position(source, rank))
        as_it_is = [path.name for path in self._files()] == [RESULTS]
        if as_it_is and wanted == [r['source'] for _, r in _lines(self._results)]:
            return
        with in_one_piece(self._results) as draft, draft.open('wb') as out:
            for source in wanted:
                out.write(_line_at(places[source]))
        for path in [*self._files(), *self._left_by_ranks()]:
            if path != self._results:
                path.unlink(missing_ok=True)

    def records(self) -> Iterator[dict[str, Any]]:
        """All results, after :meth:`merge`."""
        return (record for _, record in _lines(self._results))

    def counts(self) -> Counter[str]:
        """How many images there are of each decision, and ``'error'``."""
        return Counter(
            'error' if 'error' in record else record['decision']
            for record in self.records()
        )

    @property
    def _results(self) -> Path:
        return self.folder / RESULTS

    @property
    def _own(self) -> str:
        alone = self.share.world == 1
        return RESULTS if alone else f'results.{self.share.name}.jsonl'

    def _files(self) -> list[Path]:
        """Files of results, the merged one first, then the latest last."""
        parts = sorted(
            self.folder.glob('results.rank-*.jsonl'), key=lambda p: p.stat().st_mtime
        )
        return [path for path in (self._results, *parts) if path.is_file()]

    def _left_by_ranks(self) -> list[Path]:
        return [*self.folder.glob('rank-*.done')]

    def _compare(self, before: Any, now: dict[str, Any]) -> None:
        if not isinstance(before, dict):
            before = {}
        other = sorted(
            key for key in now.keys() | before.keys() if now.get(key) != before.get(key)
        )
        if other:
            raise FileExistsError(
                f'{self.folder} holds results made with another {", ".join(other)}: '
                'expected the same, to go on; give another --out, or --overwrite'
            )


def write_list(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write results as one JSON list, one a line, whatever their number."""
    with in_one_piece(path) as draft, draft.open('w', encoding='utf-8') as out:
        out.write('[')
        for number, record in enumerate(records):
            out.write((',\n' if number else '\n') + json.dumps(record))
        out.write('\n]\n')


def write_coco(
    path: Path, records: Iterable[dict[str, Any]], classes: Sequence[str]
) -> None:
    """Write detections as a COCO file: images, categories, annotations with scores.

    Args:
        records: With ``coco``, the detections of each; failed images are left out.
        classes: Names in the order of the ids, which count from 1.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in records:
        if 'coco' not in record:
            continue
        width, height = record['size']
        number = len(images) + 1
        images.append(
            dict(id=number, file_name=record['source'], width=width, height=height)
        )
        for found in record['coco']:
            _, _, box_width, box_height = found['bbox']
            own = dict(id=len(annotations) + 1, area=box_width * box_height, iscrowd=0)
            annotations.append({**found, 'image_id': number, **own})
    categories = [dict(id=k, name=name) for k, name in enumerate(classes, 1)]
    write_json(
        path, dict(images=images, categories=categories, annotations=annotations)
    )


def _position(source: str, rank: dict[str, int]) -> int:
    """Place of an image, or of the video or camera that a frame comes from."""
    return rank.get(source, rank.get(source.rpartition('#')[0], -1))


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Offset and content of the lines of a file; one without an end is being written.

    Raises:
        ValueError: A line holds something else.
    """
    if not path.is_file():
        return
    with path.open('rb') as file:
        offset = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b'\n'):
                return
            try:
                record = json.loads(line)
                record['source']
            except (ValueError, KeyError, TypeError):
                raise ValueError(
                    f'{path}, line {number}: expected a result; remove the line, or '
                    'give another --out'
                ) from None
            yield offset, record
            offset += len(line)


def _line_at(place: Place) -> bytes:
    with place.path.open('rb') as file:
        file.seek(place.offset)
        return file.readline()


def _alone(path: Path) -> IO[str]:
    """Open a file to add to it, which no other process may have open so."""
    file = path.open('a', encoding='utf-8')
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FileExistsError(
            f'{path} is being written by another process: expected one at a time; '
            'wait for its end, stop it, or give another --out'
        ) from None
    except (ImportError, OSError):  # Windows, or a file system without locks
        pass
    return file


def _drop_torn_line(path: Path) -> None:
    """Remove half a line at the end, which a kill has left."""
    if not path.is_file():
        return
    with path.open('rb') as file:
        last = next(iter(deque(file, maxlen=1)), b'')
    if not last.endswith(b'\n'):
        os.truncate(path, path.stat().st_size - len(last))
