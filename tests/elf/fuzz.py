"""Feeds broken objects to the loader: only typed errors may come out, and none may take a second.

    python tests/elf/fuzz.py [--inputs 100000] [--seed 1]

Inputs are the objects of the data sets without DWARF, damaged in one of several ways: flipped bits and bytes anywhere,
interesting numbers in headers, section headers, symbols, relocations, BTF and BTF.ext, cut ends, and pieces of one
object in another.  Prints how often each error class came out, the slowest input, and the first unexpected exception.
"""

from __future__ import annotations

import argparse
import collections
import random
import struct
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from bpfbench.elf import Btf, ElfFile, load, to_object  # noqa: E402
from bpfbench.elf.btf_c import dump_c  # noqa: E402
from bpfbench.elf.writer import rewrite  # noqa: E402
from bpfbench.errors import BpfbenchError  # noqa: E402

NUMBERS = [0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
LIMIT = 1.0


def corpus() -> list[bytes]:
    """The small objects: most of the damage then hits something that matters."""
    raws = [rewrite(ElfFile(path.read_bytes(), path.name)) for path in sorted((ROOT / "datasets").glob("*.o"))]
    return [raw for raw in raws if len(raw) < 9000]


def damage(raw: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """`raw` with one to four mutations."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        kind, at = rng.randrange(8), rng.randrange(len(data))
        if kind == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            _put(data, at & ~3, rng)
        elif kind == 3:
            _put(data, rng.randrange(64), rng)
        elif kind == 4:
            table = struct.unpack_from("<Q", raw, 0x28)[0]
            _put(data, min(len(data) - 1, table + rng.randrange(max(1, len(raw) - table))), rng)
        elif kind == 5:
            del data[rng.randrange(1, len(data)) :]
        elif kind == 6:
            piece = rng.choice(others)
            start = rng.randrange(len(piece))
            chunk = piece[start : start + rng.randrange(1, 64)]
            data[at : at + len(chunk)] = chunk
        else:
            marker = bytes(data).find(b"\x9f\xeb")
            if marker >= 0:
                _put(data, min(len(data) - 1, marker + rng.randrange(600)), rng)
        if len(data) < 2:
            break
    return bytes(data)


def _put(data: bytearray, at: int, rng: random.Random) -> None:
    width = rng.choice((1, 2, 4, 8))
    raw = (rng.choice(NUMBERS) if rng.random() < 0.8 else rng.getrandbits(64)).to_bytes(16, "little")[:width]
    data[at : at + width] = raw[: len(data) - at]


def attempt(raw: bytes) -> str:
    """Load, then read and write everything; the name of the error class, or "loaded"."""
    try:
        obj = load(raw, name="fuzz.o")
        for program in obj.programs.values():
            program.to_json()
        if obj.btf is not None:
            dump_c(obj.btf)
            Btf(obj.btf.to_bytes()).check()
        if obj.programs and not obj.big_endian:
            to_object(list(obj.programs.values()), list(obj.maps.values()))
    except BpfbenchError as error:
        assert "\n" not in str(error), f"more than one line: {error}"
        return type(error).__name__
    return "loaded"


def campaign(inputs: int, seed: int) -> tuple[collections.Counter[str], float, list[str]]:
    """Counts by outcome, the slowest input in seconds of CPU time, and tracebacks of what should not have happened."""
    objects, rng = corpus(), random.Random(seed)
    counts: collections.Counter[str] = collections.Counter()
    slowest, unexpected = 0.0, []
    for _ in range(inputs):
        raw = damage(rng.choice(objects), objects, rng)
        before = time.process_time()
        try:
            counts[attempt(raw)] += 1
        except Exception:
            counts["UNEXPECTED"] += 1
            unexpected.append(traceback.format_exc())
        slowest = max(slowest, time.process_time() - before)
    return counts, slowest, unexpected


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    outcome, seconds, surprises = campaign(options.inputs, options.seed)
    print(f"{options.inputs} inputs, seed {options.seed}: {dict(outcome)}; slowest {seconds:.2f} s")
    if surprises:
        print(surprises[0])
    raise SystemExit(1 if surprises or seconds > LIMIT else 0)
