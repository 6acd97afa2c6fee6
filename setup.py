"""Build mmdefect; configs and tools travel in ``mmdefect/.mim``, as OpenMMLab expects.

Nothing here imports torch: a build must work in an environment that has none.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# Of a checkout, as lab/ that they need.
LABORATORY = (
    'benchmark.py',
    'compare_ops.py',
    'compare_pruned.py',
    'collect_coverage.py',
    'collect_product_results.py',
    'collect_stream_results.py',
    'demo_picture.py',
    'render_results.py',
)
MIM_FILES = ('tools', 'configs', 'demo', 'model-index.yml', 'dataset-index.yml')


class BuildWithMim(build_py):
    """Build the modules, and link (editable) or copy the files of ``.mim``."""

    def run(self) -> None:
        """Build, then fill ``.mim``."""
        super().run()
        parent = ROOT if self.editable_mode else ROOT / self.build_lib
        folder = parent / 'mmdefect' / '.mim'
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for source in (ROOT / name for name in MIM_FILES):
            target = folder / source.name
            if not source.exists():
                continue
            if self.editable_mode:
                target.symlink_to(os.path.relpath(source, folder))
            elif source.is_dir():
                left_out = shutil.ignore_patterns('*.pyc', *LABORATORY)
                shutil.copytree(source, target, ignore=left_out)
            else:
                shutil.copyfile(source, target)


def requirements(name: str) -> list[tuple[str, str]]:
    """Return the lines of a requirements file: requirement, comment behind it."""
    lines = (
        (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    )
    split = (line.partition('#') for line in lines)
    return [(line.strip(), note.strip()) for line, _, note in split if line.strip()]


def only(name: str, extra: str | None = None) -> list[str]:
    """Return the requirements of a file, all or those of one extra."""
    return [
        line
        for line, note in requirements(name)
        if extra is None or extra in note.split(', ')
    ]


def version() -> str:
    """Return ``__version__`` without importing the package."""
    values: dict[str, str] = {}
    exec((ROOT / 'mmdefect' / 'version.py').read_text(encoding='utf-8'), values)  # noqa: S102
    return values['__version__']


# Named by the comments of optional.txt.
OPTIONAL = (
    *('app', 'bench', 'coco', 'deploy', 'docs', 'edge', 'line', 'openvino', 'prune'),
    *('publish', 'report', 'saliency', 'serve', 'supervision'),
)
EXTRAS = {
    'torch': only('torch'),
    'onedl': only('torch') + only('mminstall'),
    # The versions that mmdet 3.3.0 accepts, its last release.
    'openmmlab': [
        *only('torch'),
        'mmengine>=0.10.5',
        'mmcv>=2.0.1,<2.2',
        'mmdet>=3.1',
        'mmpretrain>=1.1',
    ],
    **{extra: only('optional', extra) for extra in OPTIONAL},
    'tests': only('tests'),
}
# Not those that install a module which another one brings, too: mmengine, cv2.
EXTRAS['all'] = sorted(
    {r for name in EXTRAS if name not in ('openmmlab', 'edge') for r in EXTRAS[name]}
)

setup(
    name='mmdefect',
    version=version(),
    description='Industrial defect inspection that keeps learning, on OpenMMLab',
    long_description=(
        (ROOT / 'README.md').read_text(encoding='utf-8')
        if (ROOT / 'README.md').is_file()
        else ''
    ),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10,<3.13',
    packages=find_packages(include=['mmdefect', 'mmdefect.*']),
    package_data={
        'mmdefect': ['py.typed'],
        'mmdefect.app': ['*.css', '*.js'],
        'mmdefect.datasets': ['splits/*'],
    },
    install_requires=only('runtime'),
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['mmdefect = mmdefect.cli.main:main']},
    cmdclass={'build_py': BuildWithMim},
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
