"""Two ranks, of which the first works for longer than a collective waits."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import get_rank

from mmdefect.utils.distributed import (
    leave_process_group,
    on_main_process,
    prepare_distributed,
)

TIMEOUT = 3


def work() -> None:
    time.sleep(2 * TIMEOUT)
    if sys.argv[2:] == ['fails']:
        raise ValueError('long')


prepare_distributed(
    Config({'launcher': 'pytorch', 'env_cfg': {'dist_cfg': {'timeout': TIMEOUT}}})
)
said = str(get_rank())
try:
    on_main_process(work)
except ValueError as error:
    said = f'{said} ValueError: {error}'
(Path(sys.argv[1]) / said[0]).write_text(said)
leave_process_group()
