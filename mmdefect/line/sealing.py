"""Whether a line is as its log says, by the newest row that was once seen whole."""

from __future__ import annotations

from dataclasses import asdict, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdefect.deploy.package import read_package
from mmdefect.line.lock import alone
from mmdefect.line.row import utc
from mmdefect.line.settings import FILE
from mmdefect.line.tables import RESTORE
from mmdefect.line.versions import check_promoted, newest_row, pointed_at, promotions
from mmdefect.utils.checks import brief
from mmdefect.utils.files import write_json
from mmdefect.utils.text_files import read_json

if TYPE_CHECKING:
    from mmdefect.line.folder import Line
    from mmdefect.line.log import Verified

HEAD, VERIFIED = 'head.json', 'verified.json'
#: More than any row has.
_MOST = 1 << 63


def read_head(line: Line) -> dict[str, Any] | None:
    """What ``head.json`` says: ``id`` and ``hash`` of a row; None if it is not there.

    Raises:
        ValueError: It is damaged.
    """
    path = line.folder / HEAD
    if not path.exists():
        return None
    cure = 'put the copy of it back that you have kept'
    content = read_json(path, 'note of the newest row', cure=cure)
    number, digest = content.get('id'), content.get('hash')
    right = type(number) is int and 0 < number < _MOST
    if not right or not isinstance(digest, str):
        raise ValueError(
            f'{path} holds {brief(content)}: expected the id and hash of a row; {cure}'
        )
    return content


def seal(line: Line, *, anew: bool = False) -> None:
    """Remember the newest row: a log that ends before it has lost some.

    Args:
        line: Whose log.
        anew: Somebody goes by a log that has lost rows: what was known of them lies in
            ``head.json.before`` and ``verified.json.before`` from then on.

    Raises:
        ValueError: The row that was remembered before is not in the log any more.
    """
    with alone(line.folder / FILE):
        for name in (HEAD, VERIFIED) if anew else ():
            path = line.folder / name
            if path.exists():
                path.replace(_free(path.with_name(f'{name}.before')))
        _seal(line)


def _free(path: Path) -> Path:
    """A name that nothing has yet: this one, or one with a number behind it."""
    names = (path.with_name(f'{path.name}{number}') for number in count(2))
    return next(one for one in chain([path], names) if not one.exists())


def _seal(line: Line) -> None:
    before = read_head(line)
    if before is not None:
        query = 'SELECT hash FROM log WHERE id = ?'
        if line.log.select(query, (before['id'],)) != [(before['hash'],)]:
            raise ValueError(
                f'{line.db_path} has not the row {before["id"]} that was there when '
                f'it was last seen whole: it was cut or written anew; {RESTORE}'
            )
    newest = next(line.log.rows(newest=True, limit=1), None)
    if newest is None or (before is not None and before['id'] >= newest.id):
        return
    line.log.flush()  # or a power cut would cost the row, and not the note of it
    content = {'id': newest.id, 'hash': newest.hash}
    write_json(line.folder / HEAD, content, lasting=True)


def read_verified(line: Line) -> dict[str, Any] | None:
    """What the last verification has found: ``time``, ``ok``, ``rows``, ``sentence``.

    And ``sealed`` and ``hash``, of the newest row that ``head.json`` has known then.
    None if there was none.

    Raises:
        ValueError: The file is damaged.
    """
    path = line.folder / VERIFIED
    if not path.exists():
        return None
    cure = 'remove it, and run `mmdefect line verify`'
    found = read_json(path, 'note of what the last verification found', cure=cure)
    wanted = {'time': str, 'ok': bool, 'rows': int, 'sentence': str}
    wrong = [name for name, kind in wanted.items() if type(found.get(name)) is not kind]
    # Those of earlier versions have none.
    if not isinstance(found.setdefault('hash', ''), str):
        wrong.append('hash')
    sealed = found.setdefault('sealed', 0)
    if type(sealed) is not int or not 0 <= sealed < _MOST:
        wrong.append('sealed')
    if wrong:
        named = wrong[0]
        raise ValueError(
            f'{path} is not as it was written ({named!r} is '
            f'{brief(found.get(named))}): expected what `mmdefect line verify` '
            f'writes; {cure}'
        )
    return {name: found[name] for name in (*wanted, 'sealed', 'hash')}


def verify(line: Line) -> Verified:
    """See :meth:`mmdefect.line.folder.Line.verify`."""
    found = _read(line)
    if found.ok and (changed := _changed(line)):
        found = replace(found, ok=False, sentence='; '.join(changed))
    with alone(line.folder / FILE):
        sealed, digest = _sealed(line)
        if found.ok:
            _seal(line)
            if head := read_head(line):
                sealed, digest = head['id'], head['hash']
        content = {'time': utc(None), **asdict(found), 'sealed': sealed, 'hash': digest}
        write_json(line.folder / VERIFIED, content, lasting=True)
    return found


def check_log(line: Line, *, forced: bool = False) -> str | None:
    """Refuse to go by a log that is not as it was written, and seal one that is.

    Every row is read, as all that is promoted hangs on rows: what was promoted before,
    which exams were added with which hash. A million take some seconds.

    Returns:
        None; of who forces it what is wrong, in a sentence.

    Raises:
        ValueError: Rows were changed or are missing, and nobody forces it.
    """
    try:
        found = _read(line, derived=False)
        why = None if found.ok else found.sentence
    except ValueError as error:  # a damaged note
        why = str(error)
    if why is None:
        seal(line)
    elif not forced:
        raise ValueError(
            f'{why}. Nothing is promoted or gone back to by such a log: expected one '
            f'that `mmdefect line verify` finds right; {RESTORE}, or go on with '
            '--force --why "...", which is written down'
        )
    return why and f'the log was not as it was written: {why}'


def _read(line: Line, *, derived: bool = True) -> Verified:
    """What is found of the rows, and whether they are those of the last time.

    Nobody waits meanwhile: what others seal are rows that come on top.
    """
    with alone(line.folder / FILE):
        head, known = read_head(line), _sealed(line)
    found = line.log.verify(head=head, derived=derived)
    why = _lost(line, found.rows, head, known) if found.ok else None
    return found if why is None else replace(found, ok=False, sentence=why)


def _lost(
    line: Line, rows: int, head: dict[str, Any] | None, known: tuple[int, str]
) -> str | None:
    """Why a whole log is not that which was known before; None if it may be.

    An older ``head.json`` is no harm if the row that was verified last is there. Who
    switches versions has sealed the rows before.
    """
    before, digest = known
    row = newest_row(line)
    if head is None and (before or (row is not None and row.id > 1)):
        seen = f'row {before} was known' if before else 'rows were known'
        return (
            f'{line.folder / HEAD} is gone, and {seen} before: without it a log that '
            'was cut does not show; put the copy of it back that you have kept'
        )
    there = line.log.select('SELECT hash FROM log WHERE id = ?', (before,))
    if before <= rows and (not digest or not before or there == [(digest,)]):
        return None
    what = f'ends at row {rows}' if before > rows else f'has another row {before}'
    return (
        f'{line.db_path} {what}, and {line.folder / VERIFIED} knows row {before}: rows '
        f'were lost, or an older log was put back; restore the newer one, or put the '
        f'{VERIFIED} of that time back, too, or remove it'
    )


def _sealed(line: Line) -> tuple[int, str]:
    """Id and hash of the newest row at the last verification; 0 if there was none."""
    found = read_verified(line)
    return (found['sealed'], found['hash']) if found else (0, '')


def _changed(line: Line) -> list[str]:
    """What is not as it was promoted, of the packages that are still there."""
    wrong = []
    names = [str(row.version) for row in promotions(line)]
    current = pointed_at(line)
    if current is not None and current not in names:
        names.append(current)
    for name in names:
        folder = line.versions_dir / name
        if not folder.is_dir():
            continue
        try:
            check_promoted(line, name)
            read_package(folder)
        except (OSError, ValueError) as error:
            wrong.append(str(error))
    return wrong
