"""Which image file an annotation means: the files of a folder, found by their names.

Annotation tools write paths of the machine that annotated. What is looked for is only
ever compared with the names of files that are in the folder; nothing outside is opened.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from mmdefect.utils.checks import name_some, visible
from mmdefect.utils.image_header import OTHER_PICTURES, SUFFIXES
from mmdefect.utils.text_files import inner_path


class ImageFolder:
    """All images below a folder.

    Args:
        root: The folder; hidden files and folders are passed over.

    Attributes:
        names: Images relative to the folder, with slashes, sorted.
        others: The same of pictures of other kinds, which are not taken.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If a path cannot be written to a list or config.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise FileNotFoundError(
                f'there is no folder {root}: expected the folder of images; check the '
                'path'
            )
        self.root = root
        files = [path.relative_to(root) for path in visible_files(root)]
        self.names = _named_as(files, SUFFIXES)
        self.others = _named_as(files, OTHER_PICTURES)
        check_text([str(root), *self.names])
        self._known = set(self.names)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in self.names:
            path = PurePosixPath(name)
            self._by_name[path.name].append(name)
            self._by_stem[path.stem].append(name)

    def passed_over(self) -> list[str]:
        """A sentence that names pictures of other kinds, if there are any."""
        if not self.others:
            return []
        return [
            f'pictures of other kinds, left out: {name_some(self.others)}; save them '
            'as PNG'
        ]

    def find(self, name: str, source: Path, *, subset: str = '') -> str | None:
        """The image that an annotation names.

        First as a path from the folder of the annotation, then from the root, then by
        the file's name alone: of several the one that is nearest to the annotation.

        Args:
            name: As the annotation has it.
            source: File of the annotation.
            subset: That of its images, if it says: others of the same name are not
                meant.

        Returns:
            Its name relative to the root, with slashes; None if it is not there.

        Raises:
            ValueError: If the path leads out of the folder, or several images of this
                name are equally near.
        """
        plain = name.replace('\\', '/')
        if '..' in PurePosixPath(plain).parts:
            # As tools write it from a folder of annotations beside the images.
            place = posixpath.join(source.parent.absolute().as_posix(), plain)
            reached, root = Path(posixpath.normpath(place)), self.root.absolute()
            if not reached.is_relative_to(root) or plain.startswith('/'):
                inner_path(name, str(source))
            plain = reached.relative_to(root).as_posix()
        inside = inner_path(plain, str(source))
        near = self._near(source)
        for place in (posixpath.join(near, inside), inside):
            if place in self._known:
                return place
        names = self._by_name.get(PurePosixPath(inside).name, [])
        of_subset = [one for one in names if subset and subset_of(one) == subset]
        return self._nearest(of_subset or names, near, source)

    def find_stem(self, stem: str, source: Path) -> str | None:
        """As :meth:`find`, by a file's name without its suffix."""
        return self._nearest(self._by_stem.get(stem, []), self._near(source), source)

    def _near(self, source: Path) -> str:
        """Folder of a file relative to the root, ``''`` for one that is elsewhere."""
        folder, root = source.parent.absolute(), self.root.absolute()
        if not folder.is_relative_to(root):
            return ''
        found = folder.relative_to(root).as_posix()
        return '' if found == '.' else found

    def _nearest(self, names: list[str], near: str, source: Path) -> str | None:
        if len(names) < 2:
            return names[0] if names else None
        shared = {name: _shared_folders(name, near) for name in names}
        best = max(shared.values())
        nearest = [name for name in names if shared[name] == best]
        if len(nearest) > 1:
            raise ValueError(
                f'{source} may mean any of the images {name_some(nearest)}: expected '
                'one; give each image a name of its own'
            )
        return nearest[0]


def _named_as(files: Iterable[Path], suffixes: Sequence[str]) -> list[str]:
    found = (path.as_posix() for path in files if path.suffix.lower() in suffixes)
    return sorted(found)


def check_text(names: Iterable[str]) -> None:
    """Refuse names of files that are no text: no list, config or JSON can hold them.

    Raises:
        ValueError: If there are some; it names them.
    """
    # Python reads bytes of a name that are no UTF-8 as halves of surrogate pairs.
    bad = [name for name in names if re.search('[\ud800-\udfff]', name)]
    if bad:
        raise ValueError(
            f'names of files that are no UTF-8 ({name_some(bad)}): expected text; '
            'rename them, on Linux with convmv -t utf-8'
        )


def _shared_folders(name: str, near: str) -> int:
    """How many folders two paths begin with together."""
    parts, others = PurePosixPath(name).parent.parts, PurePosixPath(near).parts
    return len(posixpath.commonprefix([parts, others]))


def visible_files(root: Path) -> Iterable[Path]:
    """Files below a folder, by name, without hidden ones such as ``._a.png``."""
    for path in sorted(root.rglob('*')):
        parts = path.relative_to(root).parts
        if path.is_file() and not any(part.startswith('.') for part in parts):
            yield path


def subset_of(name: str) -> str:
    """``'train'``, ``'val'`` or ``'test'`` if a folder of a path says so, else ``''``.

    Example:
        >>> subset_of('images/train2017/a.jpg'), subset_of('valid/images/a.jpg')
        ('train', 'val')
    """
    for part in PurePosixPath(name).parent.parts:
        if found := subset_name(part):
            return found
    return ''


def subset_name(text: str) -> str:
    """What a word such as ``'valid'`` or ``'train2017'`` means, ``''`` for nothing."""
    word = re.sub(r'[\W_\d]+$', '', text.lower())
    subsets = {'train': 'train', 'training': 'train', 'test': 'test', 'testing': 'test'}
    return subsets.get(word, 'val' if word in ('val', 'valid', 'validation') else '')


def named(paths: Iterable[object]) -> str:
    """Count files and name a few, safe to print."""
    return name_some([visible(str(path)) for path in paths])
