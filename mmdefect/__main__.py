"""``python -m mmdefect``: the command ``mmdefect`` where it is not on the path."""

from __future__ import annotations

import sys

from mmdefect.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
