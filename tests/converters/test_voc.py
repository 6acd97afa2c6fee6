from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmdefect.converters.voc import (
    MAX_XML_BYTES,
    identical_files,
    name_prefix,
    read_voc_folder,
    read_voc_xml,
    stratified_split,
)

XML = """<annotation><filename>crazing_1</filename>
<size><width>200</width><height>100</height><depth>1</depth></size>
<object><name>crazing</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>19.5</xmax>
<ymax>40</ymax></bndbox></object></annotation>"""

ENTITIES = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""


def write(folder: Path, text: str) -> Path:
    path = folder / 'crazing_1.xml'
    path.write_bytes(text.encode('utf-8', 'surrogatepass'))
    return path


def test_smoke(tmp_path: Path) -> None:
    record = read_voc_xml(write(tmp_path, XML), file_name='IMAGES/crazing_1.jpg')
    assert record.file_name == 'IMAGES/crazing_1.jpg'
    assert (record.width, record.height) == (200, 100)
    assert record.objects == [('crazing', (2, 3, 19.5, 40))]


@pytest.mark.parametrize('declared', ['gb2312', 'GBK', 'utf-8', 'UTF-16', 'latin-1'])
def test_feature_declared_encodings(tmp_path: Path, declared: str) -> None:
    """Expat alone knows none of several bytes a character."""
    name = 'Schräge' if declared == 'latin-1' else '划痕'
    text = XML.replace('>crazing<', f'>{name}<')
    path = tmp_path / 'a.xml'
    head = f'<?xml version="1.0" encoding="{declared}"?>'
    path.write_bytes((head + text).encode(declared))
    ((found, _),) = read_voc_xml(path, file_name='a').objects
    assert found == name


def test_exception_no_regular_file(tmp_path: Path) -> None:
    """A device has the size 0 and no end."""
    (tmp_path / 'a.xml').symlink_to('/dev/zero')
    with pytest.raises(ValueError, match=r'a\.xml is a device or a pipe'):
        read_voc_xml(tmp_path / 'a.xml', file_name='a')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (ENTITIES, r'1\.xml declares XML entities or a document type .* refused'),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>', 'a document type'),
        (XML + ' ' * MAX_XML_BYTES, r'bytes.*expected at most 1000000 for'),
    ],
)
def test_exception_attacks(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_voc_xml(write(tmp_path, text), file_name='x')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('</annotation>', '', 'is no XML'),
        ('<xmin>2</xmin>', '', 'has no <bndbox/xmin> in <object>'),
        ('<name>crazing</name>', '<name> </name>', 'has no <name> in <object>'),
        ('<ymax>40<', '<ymax>forty<', "has 'forty' as <bndbox/ymax>: expected a num"),
        ('<width>200</width>', '', 'has no <size/width> in <annotation>'),
        ('<width>200<', '<width>inf<', "has 'inf' as <size/width>: expected a number"),
        ('<width>200<', '<width>nan<', "has 'nan' as <size/width>"),
        ('<width>200<', '<width>0<', 'has 0 as width: expected the whole number'),
        ('<width>200<', '<width>1.5<', 'has 1.5 as width: expected the whole number'),
        ('<ymax>40<', '<ymax>inf<', "has 'inf' as <bndbox/ymax>: expected a number"),
        ('<ymax>40<', '<ymax>1e300<', "has '1e300' as <bndbox/ymax>: expected a num"),
        ('<annotation>', '<?xml version="1.0" encoding="x"?><a>', "encoding 'x'"),
        ('crazing<', '\ud800<', 'is no UTF-8 text'),
    ],
)
def test_exception_bad_xml(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_voc_xml(write(tmp_path, XML.replace(old, new)), file_name='x')


def test_shape_folder(toy_root: Path) -> None:
    records, errors = read_voc_folder(toy_root)
    assert len(records) == 60
    assert not errors
    assert records[0].file_name == 'IMAGES/crazing_1.jpg'


def test_exception_unpaired_files(toy_copy: Path) -> None:
    (toy_copy / 'ANNOTATIONS/crazing_1.xml').unlink()
    (toy_copy / 'IMAGES/patches_2.jpg').unlink()
    records, errors = read_voc_folder(toy_copy)
    assert len(records) == 58
    assert errors == [
        '1: crazing_1 have no partner in ANNOTATIONS: expected pairs',
        '1: patches_2 have no partner in IMAGES: expected pairs',
    ]


def test_exception_sizes_disagree_or_no_image(toy_copy: Path) -> None:
    path = toy_copy / 'ANNOTATIONS/crazing_1.xml'
    path.write_text(
        path.read_text(encoding='utf-8').replace('<width>64<', '<width>65<')
    )
    (error,) = read_voc_folder(toy_copy)[1]
    assert 'is 64x64, its annotations say 65x64' in error
    (toy_copy / 'IMAGES/crazing_1.jpg').write_bytes(b'nothing')
    (error,) = read_voc_folder(toy_copy)[1]
    assert 'crazing_1.jpg cannot be read as an image' in error


def test_exception_missing_folder_or_images(toy_copy: Path) -> None:
    for folder in ('IMAGES', 'ANNOTATIONS'):
        shutil.rmtree(toy_copy / folder)
        with pytest.raises(FileNotFoundError, match=f'there is no folder .*{folder}'):
            read_voc_folder(toy_copy)
        (toy_copy / folder).mkdir()
    with pytest.raises(FileNotFoundError, match=r'IMAGES holds no \*\.jpg'):
        read_voc_folder(toy_copy)


def test_feature_identical_files(tmp_path: Path) -> None:
    for name, content in {'b': b'1', 'a': b'1', 'c': b'2'}.items():
        (tmp_path / f'{name}.jpg').write_bytes(content)
    assert identical_files(tmp_path.glob('*.jpg')) == [['a', 'b']]


NAMES = [
    f'{prefix}_{i}' for prefix in ('crazing', 'rolled-in_scale') for i in range(10)
]


def test_feature_split_is_stratified_by_the_seed() -> None:
    train, test = stratified_split(NAMES, test_ratio=0.3)
    assert sorted(train + test) == sorted(NAMES)
    assert [name_prefix(n) for n in test] == ['crazing'] * 3 + ['rolled-in_scale'] * 3
    assert stratified_split(NAMES[::-1], seed=1) == stratified_split(NAMES, seed=1)
    assert stratified_split(NAMES, seed=2) != stratified_split(NAMES, seed=1)
    for seed in range(20):
        train, test = stratified_split(NAMES, seed=seed, train_only=['crazing_1'])
        assert 'crazing_1' in train
        assert len(test) == 4


@pytest.mark.parametrize('ratio', [0.0, 1.0])
def test_exception_test_ratio(ratio: float) -> None:
    with pytest.raises(ValueError, match=f'test_ratio={ratio}: expected more than 0'):
        stratified_split(NAMES, test_ratio=ratio)
