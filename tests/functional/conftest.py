"""mmdefect goes first: mmcv may have no compiled operators, which mmdet.models asks."""

import mmdefect  # noqa: F401
