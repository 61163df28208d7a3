"""All engines on the same random programs: return value (64 bits), packet and maps, against the interpreter.

    python tests/parity_execution.py [COUNT [FIRST]] [--engines kernel,native,emulate:arm,…]

Prints a line per engine: runs, differences, programs refused.  The kernel returns 32 bits of r0, which are compared.
"""

from __future__ import annotations

import argparse
import platform
import time
from random import Random
from typing import Any

import bpfbench as bb
from bpfbench import interp
from bpfbench.errors import BpfbenchError
from bpfbench.execute import EMULATED
from bpfbench.execute.native import HOSTS
from bpfbench.execute.snapshot import take
from bpfbench.generate import TYPES, generate
from bpfbench.program.program import Program

SIZES = (20, 40, 80, 160)
LENGTHS = (14, 20, 34, 42, 60, 64, 100, 200, 1500, 3000)
ETHERNET = bytes.fromhex("000000000000020000000002")


def packet(rng: Random) -> bytes:
    """A packet of any kind that a test run takes: IPv4, IPv6, tagged, or nothing known."""
    kind, size, body = rng.randrange(4), rng.choice(LENGTHS), rng.randbytes(3000)
    if kind == 0:
        return (ETHERNET + b"\x08\x00\x45" + body)[: max(size, 34)]
    if kind == 1:
        return (ETHERNET + b"\x86\xdd\x60" + body)[: max(size, 54)]
    if kind == 2:
        return (rng.randbytes(12) + b"\x81\x00\x00\x05\x08\x00\x45" + body)[:size]
    return (rng.randbytes(12) + b"\x88\xb5" + body)[:size]


def program(seed: int) -> Program:
    return generate(seed, TYPES[seed % len(TYPES)], size=Random(seed).choice(SIZES))


def outcome(result: Any, engine: str) -> tuple[object, ...]:
    if engine == "kernel":
        return result.r0, result.data
    if engine == "interp32":
        return result.retval, result.data
    return result.r0, result.data, str(result.trap or ""), [held for _, held in take(result.maps).entries]


def compare(seed: int, engines: list[str], table: dict[str, list[int]]) -> None:
    """One program on all engines; the differences go to the table and to the terminal."""
    prog, data = program(seed), packet(Random(seed))
    expected = interp.run(prog, data)
    for engine in engines:
        row = table[engine]
        begin = time.perf_counter()
        try:
            found = bb.kernel.run(prog, data) if engine == "kernel" else bb.run(prog, data, engine=engine)
        except BpfbenchError as error:
            row[2] += 1
            print(f"{engine}: seed {seed}: {error}"[:200])
            continue
        finally:
            row[3] += round((time.perf_counter() - begin) * 1e6)
        row[0] += 1
        if outcome(found, engine) != outcome(expected, "interp32" if engine == "kernel" else "interp"):
            row[1] += 1
            print(f"{engine}: seed {seed}: {expected} but {found}")


def usable(engine: str) -> bool:
    """Can it run here?  Says so if not."""
    reason = ""
    if engine == "kernel" and not bb.kernel.available():
        reason = str(bb.kernel.available().reason)
    elif engine == "native" and platform.machine() not in HOSTS:
        reason = f"no native code for {platform.machine()}"
    if reason:
        print(f"{engine}: left out: {reason}")
    return not reason


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=500)
    parser.add_argument("first", nargs="?", type=int, default=0)
    parser.add_argument("--engines", default=",".join(["kernel", "native", *(f"emulate:{t}" for t in EMULATED)]))
    args = parser.parse_args()
    engines = [engine for engine in args.engines.split(",") if usable(engine)]
    table = {engine: [0, 0, 0, 0] for engine in engines}
    for seed in range(args.first, args.first + args.count):
        compare(seed, engines, table)
    print(f"{'engine':18} {'runs':>7} {'differ':>7} {'refused':>8} {'ms each':>8}")
    for engine, (runs, differ, refused, microseconds) in table.items():
        print(f"{engine:18} {runs:7} {differ:7} {refused:8} {microseconds / 1000 / max(runs, 1):8.2f}")
    return 1 if any(row[1] or row[2] for row in table.values()) else 0


if __name__ == "__main__":
    raise SystemExit(main())
