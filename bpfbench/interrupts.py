"""Ctrl-C at a moment when it can be answered.

A KeyboardInterrupt that is raised in the middle of a message to a front end cuts that message in two, and one raised while
a process forks is dropped by the interpreter, because it meets a hook whose errors go nowhere.

>>> import signal
>>> with whole():
...     2 + 2
4
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def whole() -> Iterator[None]:
    """An interrupt (SIGINT) waits until the block is done.  Threads other than the main one get no signals anyway."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[bool] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
        if came:
            signal.raise_signal(signal.SIGINT)
