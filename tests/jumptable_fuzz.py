"""Hostile input: mutated ELF files and random text; only typed errors, and every answer within its time.

python tests/jumptable_fuzz.py [COUNT] [SEED] [FILE...]          default: 10000 inputs from the committed binaries
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections import Counter
from pathlib import Path

from bpfbench.errors import BpfbenchError
from bpfbench.jumptable import recover
from bpfbench.jumptable.image import Image

HERE = Path(__file__).resolve().parent
PREBUILT = HERE.parent / "datasets" / "jumptables" / "prebuilt"
INTERESTING = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 63) - 1,
    (1 << 64) - 1,
)


def mutate(raw: bytes, rng: random.Random) -> tuple[str, bytes]:
    """One of: truncation, flipped bits, patched headers, random words in the text, random everything."""
    data = bytearray(raw)
    kind = rng.randrange(7)
    if kind == 0:
        return "truncated", bytes(data[: rng.randrange(len(data))])
    if kind == 1:
        for _ in range(rng.randrange(1, 40)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return "bit flips", bytes(data)
    if kind == 2:
        for _ in range(rng.randrange(1, 5)):
            at = rng.randrange(16, 64) if rng.random() < 0.4 else 64 + rng.randrange(56 * 6)
            struct.pack_into("<Q", data, min(at, len(data) - 8), rng.choice(INTERESTING) & (1 << 64) - 1)
        return "headers", bytes(data)
    if kind == 3:
        table = struct.unpack_from("<Q", data, 40)[0]
        for _ in range(rng.randrange(1, 6)):
            at = min(table + rng.randrange(64 * 12), len(data) - 8)
            struct.pack_into("<Q", data, max(0, at), rng.choice(INTERESTING) & (1 << 64) - 1)
        return "sections", bytes(data)
    start = rng.randrange(len(data) // 2)
    end = min(len(data) - 4, start + rng.randrange(64, 4096)) & ~3
    if kind == 4:
        for at in range(start & ~3, end, 4):
            struct.pack_into("<I", data, at, rng.getrandbits(32))
        return "random words", bytes(data)
    if kind == 5:  # text made of the instructions that matter
        words = (
            0xD61F0120,
            0x10000009,
            0x90000009,
            0x8B0A0929,
            0x38686929,
            0x7100141F,
            0x54000108,
            0xD61F0000,
            0xF9400FE9,
            0xB9800FE8,
            0x14000000,
            0x17FFFFF0,
            0x97FFFF00,
            0xAA0903EA,
            0x787F5929,
        )
        for at in range(start & ~3, end, 4):
            w = rng.choice(words)
            struct.pack_into(
                "<I", data, at, w ^ rng.getrandbits(5) if rng.random() < 0.5 else w ^ rng.getrandbits(10) << 5
            )
        return "random dispatches", bytes(data)
    return "noise", bytes(rng.getrandbits(8) for _ in range(rng.randrange(2000))) if rng.random() < 0.5 else raw[
        :64
    ] + rng.randbytes(3000)


def main(count: int = 10000, seed: int = 1, files: list[Path] | None = None, limit: float = 20.0) -> Counter[str]:
    """Runs `count` inputs; raises on the first untyped error or one that took longer than `limit` seconds."""
    rng = random.Random(seed)
    seeds = [p.read_bytes() for p in (files or sorted(PREBUILT.glob("*.elf")))]
    seeds = [s for s in seeds if len(s) < 400_000] or seeds
    outcome: Counter[str] = Counter()
    for n in range(count):
        kind, data = mutate(rng.choice(seeds), rng)
        start = time.monotonic()
        try:
            found = recover(Image(data, f"input {n}"))
            for t in found.tables[:3]:
                t.to_json()
            outcome[f"{kind}: analysed"] += 1
        except BpfbenchError as why:
            assert str(why).startswith("input"), why
            outcome[f"{kind}: refused"] += 1
        except Exception:
            Path("fuzz-failure.elf").write_bytes(data)
            print(f"input {n} ({kind}), kept as fuzz-failure.elf")
            raise
        if time.monotonic() - start > limit:
            Path("fuzz-slow.elf").write_bytes(data)
            raise AssertionError(f"input {n} ({kind}) took {time.monotonic() - start:.1f} s, kept as fuzz-slow.elf")
    return outcome


if __name__ == "__main__":
    arguments = sys.argv[1:]
    result = main(
        int(arguments[0]) if arguments else 10000,
        int(arguments[1]) if len(arguments) > 1 else 1,
        [Path(a) for a in arguments[2:]] or None,
    )
    for key, value in sorted(result.items()):
        print(f"{value:6} {key}")
