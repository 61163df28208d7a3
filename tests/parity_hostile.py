"""Bytecode that nobody meant: random slots through decoder, verifier, disassembler.

    python tests/parity_hostile.py [COUNT] [SEED]

Four kinds of programs, each a quarter: random 64-bit words; words whose opcode exists; valid programs with random bytes
over them; the same cut off anywhere. Whatever comes in, only the errors of `bpfbench.errors` may come out, and a
verdict takes no longer than `LONGEST` seconds. Prints the figures, and every program that did something else.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bpfbench.errors import BpfbenchError
from bpfbench.generate import MAPS, generate
from bpfbench.isa.ops import OP_BY_CODE
from bpfbench.isa.text import format_insn
from bpfbench.program.program import MAP_TYPES, PROG_TYPES, Program
from bpfbench.verifier.verification import verify
from tests.verifier_fuzz import Bounded, TooLong

KERNELS: Final = ("linux-4.18", "linux-6.1", "linux-6.12", "linux-6.18")
CODES: Final = [code for code in range(256) if any(not op.internal for op in OP_BY_CODE[code])]
END: Final = bytes.fromhex("b7000000000000009500000000000000")
LONGEST: Final = 60.0


def slots(rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return rng.randbytes(8 * rng.choice((1, 2, 3, 8, 40)))
    if kind == 1:
        out = bytearray(rng.randbytes(8 * rng.choice((1, 2, 4, 12, 40))))
        for at in range(0, len(out), 8):
            out[at] = rng.choice(CODES)
            if rng.random() < 0.8:
                out[at + 1] = rng.randrange(11) | rng.randrange(11) << 4
                out[at + 2:at + 4] = rng.choice((0, 0, 1, 2, 0xFFF8, 0xFFFF)).to_bytes(2, "little")
                out[at + 4:at + 8] = rng.choice((0, 0, 1, 4, 16, 64, 0xFFFFFFFF)).to_bytes(4, "little")
        return bytes(out) + (END if rng.random() < 0.7 else b"")
    raw = bytearray(generate(rng.randrange(1 << 20), "xdp", size=rng.choice((8, 20))).raw)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw if kind == 2 else raw[:8 * rng.randrange(len(raw) // 8 + 1)])


def record(rng: random.Random) -> dict[str, object]:
    """A program's record, with maps and tables that may be nonsense too."""
    maps = [{"type": rng.choice(MAP_TYPES), "key_size": rng.choice((0, 1, 4, 8, 1 << 40)),
             "value_size": rng.choice((0, 1, 4, 64, 1 << 63)), "max_entries": rng.choice((0, 1, 4, 1 << 32)),
             "flags": rng.choice((0, 0, 1, 128, 1 << 20))} for _ in range(rng.randrange(3))]
    found: dict[str, object] = {
        "name": "p", "prog_type": rng.choice(("xdp", "xdp", "sched_cls", rng.choice(PROG_TYPES))),
        "insns": slots(rng).hex(), "maps": rng.choice((maps, [m.to_json() for m in MAPS])),
        "expected_attach_type": rng.choice((0, 0, 0, 0, 0, 0, rng.randrange(70), (1 << 64) - 1)),
        "prog_flags": rng.choice((0, 0, 0, 0, 0, rng.randrange(256))),
    }
    if rng.random() < 0.1:
        found["btf"] = rng.randbytes(rng.choice((0, 8, 24, 100))).hex()
        found["func_info"] = rng.randbytes(rng.choice((0, 8, 12, 16))).hex()
        found["line_info"] = rng.randbytes(rng.choice((0, 16, 20))).hex()
    return found


def judge(number: int) -> tuple[str, float]:
    rng = random.Random(number)
    made = record(rng)
    kernel, privileged = rng.choice(KERNELS), rng.random() < 0.7
    started = time.perf_counter()
    try:
        prog = Program.from_json(made)
        for insn in prog.insns:
            if insn is not None:
                format_insn(insn)
        v = verify(prog, kernel, privileged, observer=Bounded())
        if number % 10 == 0:
            v.log(2)
            if not v.accepted:
                v.explain()
        what = "accepted" if v.accepted else "refused"
    except TooLong:
        what = "long"
    except BpfbenchError as error:
        what = type(error).__name__
    except Exception as error:
        what = f"ESCAPED {type(error).__name__}: {error}"
    return what, time.perf_counter() - started


def main() -> int:
    count, seed = ([int(a) for a in sys.argv[1:]] + [10000, 1][len(sys.argv) - 1:])[:2]
    seen: Counter[str] = Counter()
    slowest = (0.0, 0)
    bad = 0
    for number in range(seed, seed + count):
        what, seconds = judge(number)
        seen[what.split()[0]] += 1
        slowest = max(slowest, (seconds, number))
        if what.startswith("ESCAPED") or seconds > LONGEST:
            bad += 1
            print(f"{number}: {what} ({seconds:.1f} s)", flush=True)
    print(f"hostile: {count} programs from seed {seed}: " + ", ".join(f"{n} {what}" for what, n in seen.most_common())
          + f"; slowest {slowest[0]:.1f} s ({slowest[1]}); {bad} escaped or too slow")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
