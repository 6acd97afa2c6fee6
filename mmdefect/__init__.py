"""mmdefect: industrial defect inspection that keeps learning, on OpenMMLab.

Importing the package loads neither torch nor mmcv, mmdet or mmpretrain: it lets them
find what they need (the ``mmcv._ext`` stand-in, the ``mmdefect`` scope) and stops.
"""

from __future__ import annotations

from importlib.util import find_spec

from mmdefect import compat
from mmdefect.version import __version__

__all__ = ['__version__']

compat.install_mmcv_ext_finder()

# Without MMEngine the import still succeeds, so that `compat.check_provider` can say
# in one sentence what to install instead of a bare ModuleNotFoundError here.
if find_spec('mmengine') is not None:
    from mmdefect import registry  # noqa: F401
