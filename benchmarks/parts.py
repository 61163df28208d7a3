"""The parts of the whole table that come from the scripts beside this one: verifier, codegen, interp, native, fixpoint."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import bpfbench as bb
from bpfbench.cli.inputs import read
from bpfbench.errors import BpfbenchError
from bpfbench.jit.targets import NFP, TARGETS
from bpfbench.program.program import Program

sys.path.insert(0, str(Path(__file__).parent))
import codegen
import fixpoint
import interp
import native
import verifier
from rows import Row, processor, seconds

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
SIZES = (1_000, 10_000, 100_000, 1_000_000)
PEAK = """
import sys; sys.path.insert(0, sys.argv[3])
import verifier, bpfbench as bb
kept = bb.verify(verifier.program(sys.argv[1], int(sys.argv[2])), trace=sys.argv[4] == "True")
print(verifier.peak())
"""


def kernel_seconds(prog: Program) -> float:
    """What the running kernel takes to verify: by its own statistics, which go by the clock on the wall, or by the processor
    time of loading it, which includes more; the least of both over five times."""
    stated = []

    def load() -> None:
        stated.append((bb.kernel.verify(prog).microseconds or 1) / 1e6)

    loaded = seconds(load, 5)
    return max(min(loaded, *stated), 1e-6)


def walk(largest: int) -> list[Row]:
    """The path walk against the running kernel, by shape and by size."""
    live = bb.kernel.available()
    rows = []
    for shape in verifier.SHAPES:
        quiet, traced, costs = [], [], []
        for size in [s for s in SIZES if s <= largest]:
            prog = verifier.program(shape, size)
            repeat = 3 if size <= 10_000 else 1
            plain = seconds(lambda p=prog: bb.verify(p), repeat)
            full = seconds(lambda p=prog: bb.verify(p, trace=True), repeat)
            costs.append((size, plain))
            if live:
                loud = seconds(lambda p=prog: bb.kernel.verify(p, log_level=2), repeat)
                quiet.append((size, plain / kernel_seconds(prog)))
                traced.append((size, full / loud))
            else:
                quiet.append((size, 1e6 * plain / size))
        unit = "ours / kernel, no log" if live else "microseconds per processed instruction"
        rows.append(Row("path walk", shape, unit, quiet, costs))
        if live:
            rows.append(Row("path walk", shape, "ours with full trace / kernel's log level 2", traced))
    return rows


def memory(largest: int) -> list[Row]:
    """Peak memory of a process that verifies, with a trace and without."""
    def peak(shape: str, trace: bool) -> int:
        call = [sys.executable, "-c", PEAK, shape, str(largest), str(Path(__file__).parent), str(trace)]
        return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)

    return [Row("memory", shape, f"MB at the peak, {what}", [(largest, peak(shape, trace))])
            for shape in verifier.SHAPES for what, trace in (("with full trace", True), ("without", False))]


def datasets() -> list[Row]:
    """The programs of the data sets, all together."""
    programs = []
    for path in sorted(DATASETS.glob("*.o")):
        programs += read(str(path))

    def ours(trace: bool = False) -> None:
        for prog in programs:
            try:
                bb.verify(prog, trace=trace)
            except BpfbenchError:
                continue

    ours()
    plain, traced = seconds(ours), seconds(lambda: ours(True))
    rows = [Row("data sets", f"all {len(programs)} programs", "seconds", [(1, plain)])]
    if bb.kernel.available():
        def theirs(level: int) -> float:
            return seconds(lambda: [bb.kernel.verify(prog, log_level=level) for prog in programs])

        rows += [Row("data sets", f"all {len(programs)} programs", "ours / loading them, no log", [(1, plain / theirs(0))]),
                 Row("data sets", f"all {len(programs)} programs", "ours with full trace / kernel's log level 2",
                     [(1, traced / theirs(2))])]
    return rows


def generation() -> list[Row]:
    """Code generation by target and program size."""
    rows = []
    for target in (*TARGETS, NFP):
        found = codegen.measure(target)
        rows.append(Row("code generation", target, "microseconds per instruction", list(found.items()),
                        [(n, 1e-6 * us * n) for n, us in found.items()]))
    return rows


def interpreter() -> list[Row]:
    """The interpreter against plain Python adding numbers, and against native code; native code against the kernel's."""
    def python() -> float:
        """Million rounds a second of the least that a loop can do."""
        def loop() -> None:
            x = 0
            for _ in range(1_000_000):
                x = (x + 3) & 0xFFFF

        return 1 / seconds(loop)

    rows = []
    for name in interp.SHAPES:
        prog = interp.program(name, 500_000)
        executed = interp.interp.run(prog, bytes(64), budget=1 << 40).insns_executed
        speed = executed / 1e6 / seconds(lambda p=prog: interp.interp.run(p, bytes(64), budget=1 << 40))
        rows += [Row("interpreter", name, "million instructions a second", [(1, speed)]),
                 Row("interpreter", name, "instructions in one round of a Python loop", [(1, speed / python())])]
    if bb.kernel.available():
        for name, (ours, theirs, interpreted) in native.times().items():
            rows += [Row("native code", name, "ours / kernel's test run", [(1, ours / theirs)]),
                     Row("interpreter", name, "interpreted / native", [(1, interpreted)])]
    return rows


def static(largest: int) -> list[Row]:
    """The static analysis against the path walk, by family."""
    rows = []
    for family in fixpoint.FAMILIES:
        ours, walked = fixpoint.measure(family, largest)
        n, last, _ = ours[-1]
        rows.append(Row("static analysis", family, "milliseconds per instruction", [(largest, 1e3 * last / n)],
                        [(n, s) for n, s, _ in ours]))
        if all(ok for _, _, ok in walked):
            rows.append(Row("static analysis", family, "static analysis / path walk", [(largest, last / walked[-1][1])]))
    return rows


def grades() -> list[Row]:
    """Six students with five notebooks each, all right."""
    import grading

    students, notebooks = 6, 5
    with tempfile.TemporaryDirectory() as folder:
        grading.classroom(Path(folder) / "in", students, notebooks)
        begin = processor()
        _, status, _ = grading.run(Path(folder) / "in", Path(folder) / "out")
        took = processor() - begin
    if status:
        raise BpfbenchError(f"grading ended with status {status}")
    start = seconds(lambda: subprocess.run([sys.executable, "-c", "import bpfbench.notebook, bpfbench.course.exercises"],
                                           check=True))
    case = f"{students} students, {notebooks} notebooks each"
    return [Row("grading", case, "processor seconds per notebook", [(1, took / students / notebooks)]),
            Row("grading", case, "a notebook / importing bpfbench", [(1, took / students / notebooks / start)])]
