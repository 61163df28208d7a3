"""Our native code against the running kernel's own test run of the same program, and against the interpreter.

    python benchmarks/native.py [REPEAT]

Per shape (those of interp.py that make no calls) nanoseconds of one run of about 20,000 instructions; the ratio is ours
to the kernel's, the best of five rounds each.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import bpfbench as bb
from bpfbench import interp
from bpfbench.execute.timing import measure

sys.path.insert(0, str(Path(__file__).parent))
from interp import SHAPES, program  # type: ignore[attr-defined]

INSTRUCTIONS = 20_000
ROUNDS = 5


def times(repeat: int = 500) -> dict[str, tuple[float, int, float]]:
    """Shape -> nanoseconds of our native code and of the kernel's test run, and the interpreter's over ours."""
    found = {}
    for name in SHAPES:
        prog = program(name, INSTRUCTIONS)
        if "call" in str(prog.listing()):
            continue
        ours = measure(prog, bytes(64), repeat).nanoseconds
        theirs = min(bb.kernel.run(prog, bytes(64), repeat=repeat).duration_ns for _ in range(ROUNDS))
        begin = time.perf_counter_ns()
        interp.run(prog, bytes(64))
        found[name] = (ours, theirs, (time.perf_counter_ns() - begin) / ours)
    return found


def main() -> None:
    found = times(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
    print(f"{'shape':12} {'native ns':>10} {'kernel ns':>10} {'ratio':>6} {'interpreter':>12}")
    for name, (ours, theirs, interpreted) in found.items():
        print(f"{name:12} {ours:10.0f} {theirs:10} {ours / theirs:6.2f} {interpreted:11.0f}x")


if __name__ == "__main__":
    main()
