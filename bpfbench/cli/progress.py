"""How far along: one line on stderr, redrawn on a terminal; elsewhere a line for every tenth part."""

from __future__ import annotations

import sys
from typing import final

WIDTH = 30


@final
class Bar:
    """Call it with what is done, of how many (0: nobody knows), and the name of the latest; `end` when all is over.

    `quiet` leaves out the lines for every tenth part: what is asked for is on stdout anyway.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.done = self.total = 0
        self.tenth = -1
        self.quiet = quiet
        self.drawn = False

    def __call__(self, done: int, total: int, name: str) -> None:
        self.done, self.total = done, total
        filled = WIDTH * done // max(1, total)
        bar = f"[{'#' * filled}{'.' * (WIDTH - filled)}] {done}/{total or '?'}"
        if sys.stderr.isatty():
            print(f"\r{bar} {name:40.40}", end="", file=sys.stderr, flush=True)
            self.drawn = True
        elif not self.quiet and 10 * done // max(1, total) != self.tenth:
            self.tenth = 10 * done // max(1, total)
            print(bar, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Make room for a line of output."""
        if self.drawn:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self.drawn = False

    def end(self) -> None:
        if self.drawn:
            print(file=sys.stderr)
            self.drawn = False
