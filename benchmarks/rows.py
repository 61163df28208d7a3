"""What a benchmark gives: rows of ratios over sizes, and how to write them down.

    Row("loading", "xdp_firewall.o", "ours / pyelftools", [(21_000, 4.2)])

A value is a ratio of two processor times taken in turns in one run (a machine that is slow is slow for both), or, where the
unit says so, a plain figure.  With two sizes or more, `growth` is the exponent p of  time ~ size^p  between the last two.
"""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final


@final
class Row:
    """One line: its part, its case, what is measured, (size, value) pairs, and seconds by size where growth is shown."""

    __slots__ = ("part", "case", "unit", "points", "seconds")

    def __init__(self, part: str, case: str, unit: str, points: Sequence[tuple[int, float]],
                 seconds: Sequence[tuple[int, float]] = ()) -> None:  # fmt: skip
        self.part = part
        self.case = case
        self.unit = unit
        self.points = [(int(size), float(value)) for size, value in points]
        self.seconds = [(int(size), float(value)) for size, value in seconds]

    def growth(self) -> float | None:
        if len(self.seconds) < 2:
            return None
        (n, a), (m, b) = self.seconds[-2:]
        return math.log(b / a) / math.log(m / n) if a > 0 and b > 0 and m != n else None

    def key(self) -> tuple[str, str, str]:
        return self.part, self.case, self.unit

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def from_json(record: dict[str, Any]) -> Row:
    return Row(record["part"], record["case"], record["unit"], record["points"], record["seconds"])


def processor() -> float:
    """Seconds of processor time of this process and of children that have ended, in the kernel included.

    What else the machine does counts less for it than for the clock on the wall.
    """
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def seconds(action: Callable[[], object], repeat: int = 3, clock: Callable[[], float] = processor) -> float:
    """The shortest of `repeat` runs, in processor time."""
    best = math.inf
    for _ in range(repeat):
        begin = clock()
        action()
        best = min(best, clock() - begin)
    return best


def median_ratio(ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 5,
                 clock: Callable[[], float] = processor) -> float:  # fmt: skip
    """The median of ours over theirs, taken in turns."""
    found = sorted(seconds(ours, 1, clock) / max(seconds(theirs, 1, clock), 1e-9) for _ in range(rounds))
    return found[len(found) // 2]


def number(value: float) -> str:
    """Three digits that mean something."""
    if value == 0 or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}" \
        if value >= 0.1 else f"{value:.2g}"


def show(rows: Iterable[Row]) -> None:
    """Plain text for a terminal."""
    for row in rows:
        growth = row.growth()
        line = "  ".join(f"{size:,}: {number(value)}" for size, value in row.points)
        print(f"{row.part:18} {row.case:24} {row.unit:38} {line}" + (f"   ~n^{growth:.2f}" if growth is not None else ""))


def markdown(rows: Sequence[Row], compiled: Sequence[Row] = ()) -> str:
    """Tables by part: a column for each unit, or for each size where there are several.

    With `compiled`, values read "uncompiled → compiled".
    """
    faster = {row.key(): dict(row.points) for row in compiled}

    def cell(row: Row | None, size: int) -> str:
        found = dict(row.points) if row is not None else {}
        if row is None or size not in found:
            return ""
        other = faster.get(row.key(), {}).get(size)
        return number(found[size]) + (f" → {number(other)}" if other is not None else "")

    text: list[str] = []
    for part in dict.fromkeys(row.part for row in rows):
        mine = [row for row in rows if row.part == part]
        single = [row for row in mine if len(row.points) == 1]
        if single:
            units = list(dict.fromkeys(row.unit for row in single))
            by_case = {(row.case, row.unit): row for row in single}
            lines = [[case, *(cell(by_case.get((case, u)), by_case[case, u].points[0][0] if (case, u) in by_case else 0)
                              for u in units)] for case in dict.fromkeys(row.case for row in single)]  # fmt: skip
            text += _table([part, *units], lines, [row.growth() for row in single if row.unit == units[0]])
        several = [row for row in mine if len(row.points) > 1]
        for unit in dict.fromkeys(row.unit for row in several):
            group = [row for row in several if row.unit == unit]
            sizes = sorted({size for row in group for size, _ in row.points})
            lines = [[row.case, *(cell(row, size) for size in sizes)] for row in group]
            text += _table([f"{part}: {unit}", *(f"{size:,}" for size in sizes)], lines, [row.growth() for row in group])
    return "\n".join(text) + "\n"


def _table(heads: list[str], lines: list[list[str]], growth: list[float | None]) -> list[str]:
    """Markdown; a last column says how time grows with size, where that is known."""
    if any(p is not None for p in growth) and len(growth) == len(lines):
        heads = [*heads, "growth"]
        lines = [[*line, f"n^{p:.2f}" if p is not None else ""] for line, p in zip(lines, growth)]
    return ["", "| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|",
            *("| " + " | ".join(line) + " |" for line in lines)]
