"""mmdefect: industrial defect inspection that keeps learning, on OpenMMLab.

Importing the package loads neither torch nor anything of OpenMMLab: it lets them find
what they need (the ``mmcv._ext`` stand-in, the ``mmdefect`` scope) and stops.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from mmdefect import compat
from mmdefect.version import __version__

__all__ = ['__version__']

compat.install_mmcv_ext_finder()

# A factory's machine reports to nobody: ONNX Runtime reads this when it is imported.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')

# Without MMEngine the import still succeeds, and the first `import mmengine` says what
# to install, in one sentence.
if compat.MMENGINE_REGISTRY in sys.modules:
    from mmdefect import registry  # noqa: F401
elif find_spec('mmengine') is not None:
    compat.install_registry_finder()
else:
    sys.meta_path.append(compat.MissingProviderFinder())
