"""How well the log reader reads recorded kernels' logs, and whether the states it rebuilds are those of our own walk.

    python tests/parity_logread.py [--kernel 6.18] [--show N] [--match TEXT]

Every recorded log is read (level 2 and the last 2 KB of level 1), without its program.  A log counts as *read* when
every line of it was understood; the first line of a level-1 log and the last of a truncated one may be cut.  Then every
step of a whole level-2 log is compared with the same step of our own walk of the program: the instruction, the frame,
every register, every slot of the stack, in the notation of that kernel (6.1 does not print everything it knows).  What
logs do not say is left out of the comparison: precision marks, and the id of a number that no other register shares.
6.1 prints instructions that it does not know as their older forms: `r1 = (s8)r2` as `r1 = r2`.  The recordings are
found as in parity_verifier.py.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bpfbench.isa.text import format_insn
from bpfbench.program.program import Program
from bpfbench.trace import Event
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.log import register_text
from bpfbench.verifier.logread import ReadLog, read_log
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.state import DYN, ITER, TYPE_CHARS, Slot
from bpfbench.verifier.verification import verify
from tests.parity_verifier import read, recordings

LONGEST = 20_000
GENERATION = {"6.18": 2, "6.12": 1, "6.1": 0}      # of the notation, as in verifier/log.py


def shared_ids(regs: list[RegState], slots: list[Slot]) -> set[int]:
    """The ids of numbers that more than one place has."""
    ids = Counter(r.id & ~rs.ADD_CONST for r in [*regs, *(s.reg for s in slots)] if r.kind == rs.SCALAR and r.id)
    return {i for i, n in ids.items() if n > 1}


def plain(reg: RegState, frame: int, ids: set[int], gen: int) -> str:
    """The register in that kernel's notation, without what does not depend on the log alone."""
    if reg.kind == rs.NOT_INIT:
        return "-"
    reg = reg.with_precise(False)
    if reg.kind == rs.SCALAR and (reg.id & ~rs.ADD_CONST) not in ids:
        reg = reg.with_link(0, 0)
    return register_text(reg, frame, gen)


def plain_slot(slot: Slot | None, frame: int, ids: set[int], gen: int) -> str:
    if slot is None or not any(slot.types):
        return "-"
    if slot.types[7] in (DYN, ITER):
        return f"object {slot.types[7]}"
    if slot.spilled:
        chars = "".join(TYPE_CHARS[t] for t in slot.types if t != 1)
        return chars + plain(slot.reg, frame, ids, gen)
    return "".join(TYPE_CHARS[t] for t in slot.types)


def compare(c: Counter[str], mine: list[Event], theirs: list[Event], gen: int) -> str:
    """Step by step; answers the first difference."""
    first = ""
    for a, b in zip(mine, theirs, strict=False):
        c["steps"] += 1
        frame = a.values["frame"]
        assert isinstance(frame, int)
        if a.pc != b.pc or frame != b.values["frame"]:
            first = first or f"step {a.step}: insn {a.pc} frame {frame}, log: {b.pc} {b.values['frame']}"
            break
        c["same place"] += 1
        regs_a, regs_b = a.values["regs"], b.values["regs"]
        slots_a, slots_b = a.values["stack"], b.values["stack"]
        assert isinstance(regs_a, list) and isinstance(regs_b, list)
        assert isinstance(slots_a, list) and isinstance(slots_b, list)
        # an id counts where both say that it is shared
        ids_a, ids_b = shared_ids(regs_a, slots_a), shared_ids(regs_b, slots_b)
        for r in range(11):
            c["registers"] += 1
            x, y = plain(regs_a[r], frame, ids_a & ids_b, gen), plain(regs_b[r], frame, ids_a & ids_b, gen)
            c["same registers"] += x == y
            if x != y:
                first = first or f"step {a.step} insn {a.pc} r{r}: {x}, log: {y}"
        for i in range(max(len(slots_a), len(slots_b))):
            x = plain_slot(slots_a[i] if i < len(slots_a) else None, frame, ids_a & ids_b, gen)
            y = plain_slot(slots_b[i] if i < len(slots_b) else None, frame, ids_a & ids_b, gen)
            c["slots"] += 1
            c["same slots"] += x == y
            if x != y:
                first = first or f"step {a.step} insn {a.pc} fp-{8 * i + 8}: {x}, log: {y}"
    c["logs with the same number of steps"] += len(mine) == len(theirs)
    return first


def instructions(c: Counter[str], log: ReadLog, prog: Program) -> None:
    for pc, insn in enumerate(log.program.insns):
        if insn is not None and pc < len(prog.insns):
            own = prog.insns[pc]
            c["instructions"] += 1
            wide = own is not None and own.op.wide
            c["same instructions"] += own is not None and (wide or format_insn(own) == format_insn(insn))


def run(kernel: str, show: int, match: str) -> bool:
    folder = recordings()
    results = {r["name"]: r for r in read(folder / f"linux-{kernel}.jsonl.gz")}
    c: Counter[str] = Counter()
    differences: list[str] = []
    start = time.time()
    for record in read(folder / "programs.jsonl.gz"):
        result = results[record["name"]]
        if match in record["name"]:
            one(c, differences, kernel, record, result)
    print(f"linux-{kernel}: {c['logs']} logs in {time.time() - start:.0f} s")
    for label, of in (("read", "logs"), ("same verdict", "whole logs"), ("same message", "whole logs"),
                      ("logs with the same number of steps", "compared"), ("same instructions", "instructions"),
                      ("same place", "steps"), ("same registers", "registers"), ("same slots", "slots")):  # fmt: skip
        print(f"  {label:36}{c[label]:>8} of {c[of]:<8}{100 * c[label] / max(c[of], 1):7.3f} %")
    for line in differences[:show]:
        print("   ", line)
    return c["read"] == c["logs"]


def one(c: Counter[str], differences: list[str], kernel: str, record: dict[str, Any], result: dict[str, Any]) -> None:
    for key in ("log1", "log2"):
        text = result.get(key) or ""
        if not text.strip():
            continue
        log = read_log(text)
        c["logs"] += 1
        cut = key == "log1" and len(text) >= 2000 or bool(result.get("log2_truncated"))
        unread = [u for u in log.unread if not (cut and (text.startswith(u) or text.rstrip("\n").endswith(u)))]
        c["read"] += not unread
        if unread:
            differences.append(f"{record['name']} {key}: not read: {unread[0]!r}")
        if key == "log1" or result.get("log2_truncated"):
            continue
        c["whole logs"] += 1
        c["same verdict"] += log.accepted == (result["verdict"] == "accept")
        c["same message"] += (log.message or None) == result["error"]
        prog = Program.from_json(record)
        instructions(c, log, prog)
        if (result.get("processed") or 0) <= LONGEST:
            v = verify(prog, kernel=f"linux-{kernel}", trace=True)
            assert v.trace is not None
            c["compared"] += 1
            first = compare(c, v.trace.of("visit"), log.trace.of("visit"), GENERATION[kernel])
            if first:
                differences.append(f"{record['name']}: {first}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", choices=("6.1", "6.12", "6.18", "all"), default="all")
    parser.add_argument("--show", type=int, default=0, help="how many differences to list")
    parser.add_argument("--match", default="", help="only programs whose name contains this")
    options = parser.parse_args()
    if not recordings().is_dir():
        print(f"no recordings at {recordings()}; set BPFBENCH_RECORDINGS", file=sys.stderr)
        return 2
    kernels = ("6.18", "6.12", "6.1") if options.kernel == "all" else (options.kernel,)
    return 0 if all([run(kernel, options.show, options.match) for kernel in kernels]) else 1


if __name__ == "__main__":
    sys.exit(main())
