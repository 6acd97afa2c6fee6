"""The folder of results that ``mmdefect predict --out`` fills, and goes on filling.

``results.jsonl`` has one result a line, each written out at once, so that a run that
was killed goes on where it stopped. Of several processes each has a file of its own
until all are done. ``settings.json`` says what the results were made with, and whose
the folder is. ``.lock`` is held by the process that writes, and never removed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from mmdefect.cli.result_files import FILES, LABELME, PICTURES
from mmdefect.cli.result_lines import Place, drop_torn_line, line_at, lines_of
from mmdefect.cli.shards import Share, wait_for
from mmdefect.utils.files import draft_of, in_one_piece, refuse_full, write_json
from mmdefect.utils.text_files import read_json

RESULTS, SETTINGS = 'results.jsonl', 'settings.json'
LOCK = '.lock'
_OURS = {'written by': 'mmdefect predict'}
# What is written of all results at the end, by the setting that asks for it.
_WHOLE = {'json': 'results.json', 'coco': 'coco.json'}


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
        self._lock: IO[str] | None = None
        if self.share.rank == 0:
            self._settings()

    def open(self, settings: dict[str, Any], *, anew: bool = False) -> None:
        """Say what results are made with, and go on after those that are there.

        Until :meth:`close` no other process may.

        Args:
            settings: What changes results.
            anew: Remove the results that are there instead.

        Raises:
            FileExistsError: The results that are there were made with other settings,
                or another process writes here.
        """
        settings = {**_OURS, **json.loads(json.dumps(settings, default=str))}
        if self.share.rank:  # the first process looks whose folder it is
            wait_for((self.folder / SETTINGS).is_file)
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _alone(self.folder / LOCK)
        before = self._settings()
        if before and anew:
            self._refuse_to_replace(_whole(settings), _whole(before))
            self._clear(before)
        elif before:
            self._compare(before, settings)
        if before != settings:
            write_json(self.folder / SETTINGS, settings)
        own = self.folder / self._own
        self._file = _alone(own)
        drop_torn_line(own)

    def _settings(self) -> dict[str, Any]:
        """What an earlier run has said; nothing in a new folder.

        Raises:
            FileExistsError: It holds something that is not ours.
        """
        path = self.folder / SETTINGS
        with suppress(ValueError):
            if path.is_file() and not path.is_symlink():
                found: dict[str, Any] = read_json(path, 'settings of the results')
                if found.items() >= _OURS.items():
                    return found
        # What a kill leaves between the lock and the settings.
        begun = {self.folder / LOCK, draft_of(path)}
        if not self.folder.is_dir() or not begun.issuperset(self.folder.iterdir()):
            refuse_full(self.folder)
        return {}

    def _refuse_to_replace(self, now: str, before: str) -> None:
        if now != before and now and (self.folder / now).exists():
            raise FileExistsError(
                f'{self.folder / now} is not of the results that are there: expected '
                'no such file; move it, or give another --out'
            )

    def _clear(self, before: dict[str, Any]) -> None:
        """Remove what an earlier run has written here, and nothing else."""
        linked = {n for n in (PICTURES, LABELME) if (self.folder / n).is_symlink()}
        for folder, name in self._made():
            if folder not in linked:
                (self.folder / folder / name).unlink(missing_ok=True)
        for name in (PICTURES, LABELME):
            with suppress(OSError):  # not there, or somebody's own files are in it
                (self.folder / name).rmdir()
        if whole := _whole(before):
            (self.folder / whole).unlink(missing_ok=True)
        # The last, since they tell what else is ours.
        for path in [*self._files(), *self._left_by_ranks()]:
            path.unlink(missing_ok=True)

    def _made(self) -> Iterator[tuple[str, str]]:
        """Folder and name of each file that a result names."""
        for path in self._files():
            for _, record in lines_of(path):
                for key, (folder, suffix) in FILES.items():
                    where, _, name = str(record.get(key, '')).partition('/')
                    if where == folder and '/' not in name and name.endswith(suffix):
                        yield folder, name

    def add(self, record: dict[str, Any]) -> None:
        """Write a result, once the folder is open, so that it outlives this process."""
        if self._file is not None:
            self._file.write(json.dumps(record) + '\n')
            self._file.flush()

    def close(self) -> None:
        """Leave the folder to others; everything is written already."""
        for file in (self._file, self._lock):
            if file is not None:
                file.close()

    def places(self) -> dict[str, Place]:
        """Where the latest result of every image stands, in the order of the files."""
        found: dict[str, Place] = {}
        for path in self._files():
            for offset, record in lines_of(path):
                failed, stamp = 'error' in record, record.get('file')
                found[record['source']] = Place(path, offset, failed, stamp)
        return found

    def done(self, stamps: Mapping[str, Any]) -> set[str]:
        """Which of the images have a result.

        One that failed is tried again, and so is one whose file is another by now.

        Args:
            stamps: Size and time of the file of each.
        """
        return {
            source
            for source, at in self.places().items()
            if source in stamps and not at.failed and at.stamp == stamps[source]
        }

    def merge(self, order: Sequence[str]) -> None:
        """Put all results into one file, in the order in which images were named.

        Those of earlier runs that are not named now come first, as they were. Frames
        of a video that is another by now, and shorter, are left out.
        """
        if self._file is not None:
            self._file.close()
        rank = {source: number for number, source in enumerate(order)}
        places = self.places()
        wanted = sorted(
            (source for source in places if not _is_left_over(source, places, rank)),
            key=lambda source: _position(source, rank),
        )
        as_it_is = [path.name for path in self._files()] == [RESULTS]
        if as_it_is and wanted == [r['source'] for _, r in lines_of(self._results)]:
            return
        with in_one_piece(self._results) as draft, draft.open('wb') as out:
            for source in wanted:
                out.write(line_at(places[source]))
        for path in [*self._files(), *self._left_by_ranks()]:
            if path != self._results:
                path.unlink(missing_ok=True)

    def records(self) -> Iterator[dict[str, Any]]:
        """All results, after :meth:`merge`."""
        return (record for _, record in lines_of(self._results))

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


def _whole(settings: dict[str, Any]) -> str:
    return _WHOLE.get(str(settings.get('format')), '')


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
    return rank.get(source, rank.get(video_of(source), -1))


def video_of(source: str) -> str:
    """The video that a frame comes from."""
    return source.rpartition('#')[0]


def _is_left_over(source: str, places: dict[str, Place], rank: dict[str, int]) -> bool:
    """Whether it is a frame of what a video has been; all are looked at each time."""
    video = video_of(source)
    first = places.get(f'{video}#0')
    named = source not in rank and video in rank
    return named and first is not None and first.stamp != places[source].stamp


def _alone(path: Path) -> IO[str]:
    """Open a file to add to it, which no other process may have open so."""
    file = path.open('a', encoding='utf-8')
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FileExistsError(
            f'{path.parent} is being written by another process: expected one at a '
            'time; wait for its end, stop it, or give another --out'
        ) from None
    except (ImportError, OSError):  # Windows, or a file system without locks
        pass
    return file
