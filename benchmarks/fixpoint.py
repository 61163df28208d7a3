"""Cost against size: the static analysis beside the path walk, up to 10,000 instructions.

    python benchmarks/fixpoint.py [--plot FILE.png] [--largest N]

| family | one unit of it | paths |
|---|---|---|
| forks | if a bit of r8 is set, r7 changes in one way, else in another; r7 is an index at the end | 2^n |
| checks | load a packet byte behind a bounds check of its own | n + 1 |
| loops | eight rounds that sum bytes of a map value | 1 |
| calls | call one of four small functions with another number | 1 |
| straight | arithmetic | 1 |

For each: seconds of both, and the exponent p of  time ~ instructions^p  between the two largest sizes (1 is linear).
The walk is stopped by its limit of a million processed instructions, as Linux is; then its verdict is a refusal.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpfbench as bb
from bpfbench.program.program import Program

HEAD: Final = """.map a array 4 64 4
.type xdp
r6 = r1
call get_prandom_u32
r8 = r0
r7 = 0
"""
USE: Final = """
r7 &= 63
*(u32 *)(r10 -4) = 0
r2 = r10
r2 += -4
r1 = map[a]
call map_lookup_elem
if r0 == 0 goto out
r0 += r7
r0 = *(u8 *)(r0 +0)
out:
r0 = 0
exit
"""


def forks(n: int) -> str:
    body = "\n".join(f"if r8 & {1 << i % 31} goto A{i}\nr7 += {1 + i}\nA{i}:\nr7 ^= {i * 7 & 0xFFF}" for i in range(n))
    return HEAD + body + USE


def checks(n: int) -> str:
    body = "\n".join(f"r4 = r2\nr4 += {i % 1500 + 1}\nif r4 > r3 goto out2\nr5 = *(u8 *)(r2 +{i % 1500})\nr7 += r5"
                     for i in range(n))  # fmt: skip
    return HEAD + "r2 = *(u32 *)(r6 +0)\nr3 = *(u32 *)(r6 +4)\n" + body + USE + "out2:\nr0 = 0\nexit\n"


def loops(n: int) -> str:
    lookup = "*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[a]\ncall map_lookup_elem\nif r0 == 0 goto out\nr9 = r0\n"
    body = "\n".join(f"r5 = 0\nB{i}:\nr4 = r9\nr4 += r5\nr3 = *(u8 *)(r4 +0)\nr7 += r3\nr5 += 1\nif r5 < 8 goto B{i}"
                     for i in range(n))  # fmt: skip
    return HEAD + lookup + body + USE


def calls(n: int) -> str:
    body = "\n".join(f"r1 = r8\nr1 &= {(1 << i % 6) - 1}\ncall F{i % 4}\nr7 += r0" for i in range(n))
    functions = [f"F{i}:\nr0 = r1\nif r0 > {i + 3} goto G{i}\nr0 += {i}\nexit\nG{i}:\nr0 = {i}\nexit" for i in range(4)]
    return HEAD + body + USE + "\n".join(functions)


def straight(n: int) -> str:
    return HEAD + "\n".join(f"r7 += {i}\nr7 *= 3\nr5 = r7\nr5 >>= 4\nr7 ^= r5" for i in range(n)) + USE


FAMILIES: Final[dict[str, tuple[Callable[[int], str], int]]] = {      # text, instructions per unit
    "forks": (forks, 3), "checks": (checks, 5), "loops": (loops, 7), "calls": (calls, 4), "straight": (straight, 5),
}  # fmt: skip
LONG: Final = 2.0                           # seconds; no second run
SIZES: Final = (50, 100, 250, 500, 1000, 2500, 5000, 10_000)
Point = tuple[int, float, bool]             # instructions, seconds, accepted


def measure(family: str, largest: int) -> tuple[list[Point], list[Point]]:
    """Both verifiers over the sizes; the walk is left alone once it has run into its limit."""
    text, unit = FAMILIES[family]
    static: list[Point] = []
    walk: list[Point] = []
    for size in [s for s in SIZES if s <= largest]:
        prog = _program(text, size // unit)
        insns = sum(1 for i in prog.insns if i is not None)
        static.append((insns, *_least(partial(_accepts, prog))))
        if family != "forks":
            walk.append(_walked(prog, insns))
    return static, _forks_walked(text) if family == "forks" else walk


def _forks_walked(text: Callable[[int], str]) -> list[Point]:
    """The walk doubles its work with every fork: a few of them are enough."""
    walk: list[Point] = []
    for n in range(2, 24, 2):
        prog = _program(text, n)
        walk.append(_walked(prog, len(prog)))
        if not walk[-1][2]:
            break
    return walk


def _walked(prog: Program, insns: int) -> Point:
    return insns, *_least(lambda: bb.verify(prog).accepted)


def _accepts(prog: Program) -> bool:
    return bb.verify_static(prog).accepted


def _least(work: Callable[[], bool]) -> tuple[float, bool]:
    """Processor time of the best of up to three runs, so that a busy machine does not count; long ones run once."""
    least = math.inf
    for _ in range(3):
        gc.collect()
        started = time.process_time()
        accepted = work()
        least = min(least, time.process_time() - started)
        if least > LONG:
            break
    return least, accepted


def _program(text: Callable[[int], str], units: int) -> Program:
    return bb.assemble(text(units))


def exponent(points: list[Point]) -> float:
    (n, a, _), (m, b, _) = points[-2:]
    return math.log(b / a) / math.log(m / n)


def plot(results: dict[str, tuple[list[Point], list[Point]]], file: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for family, (static, walk) in results.items():
        for axis, points, title in ((axes[0], static, "static analysis"), (axes[1], walk, "path walk")):
            axis.plot([p[0] for p in points], [p[1] for p in points], marker="o", markersize=3, label=family)
            axis.set_title(title)
            for n, seconds, accepted in points:
                if not accepted:
                    axis.annotate("limit", (n, seconds), fontsize=8)
    for axis in axes:
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("instructions")
        axis.grid(True, which="major", alpha=0.3)
        low, high = axis.get_xlim()
        axis.plot([50, 10_000], [0.005, 1.0], color="grey", linestyle=":", linewidth=1, label="linear")
        axis.set_xlim(low, high)
    axes[0].set_ylabel("seconds of processor time")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plot", default="", metavar="FILE.png")
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    args = parser.parse_args()
    for warm in (bb.verify, bb.verify_static):      # imports, tables
        warm(_program(calls, 20))
    results = {family: measure(family, args.largest) for family in FAMILIES}
    print(f"{'family':10} {'static: insns, seconds':60} {'p':>5}   walk: insns, seconds")
    for family, (static, walk) in results.items():
        shown = "  ".join(f"{n}: {s:.2f}" for n, s, _ in static[-4:])
        walked = "  ".join(f"{n}: {s:.2f}{'' if ok else ' (limit)'}" for n, s, ok in walk[-4:])
        print(f"{family:10} {shown:60} {exponent(static):5.2f}   {walked}")
        if not all(ok for _, _, ok in static):
            print(f"{family:10} not all accepted: {[n for n, _, ok in static if not ok]}")
    if args.plot:
        plot(results, args.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
