"""What a run says on the console: a screen before the first loss, not a thousand lines.

MMEngine prints its whole config, its environment, every hook of every stage and every
parameter group. All that goes to the log file only; its path is printed instead.
"""

from __future__ import annotations

import functools
import logging
import re
import warnings
from typing import Any

# Beginnings of messages that belong to the log file.
_FILE_ONLY = re.compile(
    r'\n-{20,}\nSystem environment:'
    r'|Config:\n'
    r'|Hooks will be executed in the following order'
    r'|paramwise_options -- '
    r'|\S+ is skipped since its requires_grad=False'
    r'|\S+ is duplicate\. It is skipped since bypass_duplicate'
    r'|Exp name: '
    r'|"\w+" (will be deprecated in future|is the alias of)'
    r'|`save_param_scheduler` is True but'
)
# What each step of a stream, or validation and test, would say in the same words.
_ONCE = re.compile(r'\w+Dataset \S+ |.* unused stages dropped$|defective class: ')
# Of what a user cannot change.
_WARNINGS = (
    r'Setting (OMP|MKL)_NUM_THREADS environment variable for each process',
    r'DeprecationWarning: `num_anchors` is deprecated',
)


class ConsoleFilter(logging.Filter):
    """Keeps the console short; the same object serves all loggers of the process."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a message is shown."""
        text = record.getMessage()
        if _FILE_ONLY.match(text):
            return False
        if not _ONCE.match(text):
            return True
        new = text not in self._said
        self._said.add(text)
        return new


def quiet_console() -> None:
    """Have MMEngine's loggers write set-up to their log file, not to the console.

    Those that exist and those to come; ``log_level='DEBUG'`` shows everything. Calling
    it again changes nothing.
    """
    from mmengine import logging as mmengine_logging

    logger = mmengine_logging.MMLogger
    for message in _WARNINGS:
        warnings.filterwarnings('ignore', message=message)
    if hasattr(logger.__init__, '__wrapped__'):
        return
    console = ConsoleFilter()
    for known in logger._instance_dict.values():
        _shorten(known, console)
    begin = logger.__init__

    @functools.wraps(begin)
    def begin_quietly(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        if _shorten(self, console):
            self.info(f'config, environment and hooks: {self.log_file}')

    logger.__init__ = begin_quietly
    mmengine_logging.print_log = _without_debug(mmengine_logging.print_log)


def _shorten(logger: Any, console: logging.Filter) -> bool:
    """Filter what goes to the console; whether a log file has it all."""
    files = [h for h in logger.handlers if isinstance(h, logging.FileHandler)]
    for handler in logger.handlers:
        if handler not in files and handler.level > logging.DEBUG:
            handler.addFilter(console)
    return bool(files) and any(console in h.filters for h in logger.handlers)


def _without_debug(print_log: Any) -> Any:
    """MMEngine's ``print_log`` without a logger prints whatever the level.

    So mmdet says twice at every start that an optional package is not there.
    """

    @functools.wraps(print_log)
    def wrapper(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is not None or level > logging.DEBUG:
            print_log(msg, logger=logger, level=level)

    return wrapper
