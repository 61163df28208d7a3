"""Mutated input for the decoder, the text parser and the JSON reader: `python tests/isa/fuzz.py [COUNT [SEED]]`.

Anything but a typed error, a result that does not survive the round trip, or an input that takes over a second of CPU
time ends the run with a failure.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable

from bpfbench.errors import BpfbenchError
from bpfbench.isa.assembler import assemble_text
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.ops import OPS
from bpfbench.program.program import Program

TEXT = (
    ".map m hash 4 8 1\ns: r1 = map[m] ; x\nif r1 s> -7 goto s\nlock *(u32 *)(r1 + 0x4) += w2\n"
    "call bpf_map_lookup_elem#1\nr0 = cmpxchg_64(r1 + 0, r0, r2)\nr3 = 0x1ffffffff ll\n3: (18) r1 = 0x5\nexit"
)
LETTERS = "r0123wxs()*+-=<>&|.:;#/ \n\tgotocallifmap[]é\x00"
RECORD = {"name": "p", "prog_type": "xdp", "license": "GPL", "insns": "b7000000000000009500000000000000",
          "maps": [{"type": "hash", "key_size": 4, "value_size": 8, "max_entries": 1, "flags": 0}]}  # fmt: skip


def mutated(text: str, letters: str, rng: random.Random) -> str:
    chars = list(text)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(chars) or 1)
        chars[at : at + rng.randint(0, 3)] = rng.choices(letters, k=rng.randint(0, 4))
    return "".join(chars)


def decoder(rng: random.Random) -> None:
    raw = bytearray(rng.randbytes(8 * rng.randint(1, 6) + (rng.random() < 0.05)))
    for at in range(0, len(raw) - 7, 8):
        if rng.random() < 0.7:
            raw[at] = rng.choice(OPS).code
        if rng.random() < 0.5:
            raw[at + 2 : at + 8] = bytes(6)
    big_endian = rng.random() < 0.5
    decoded = decode(bytes(raw), big_endian, strict=False)
    assert encode(decoded, big_endian) == raw
    decode(bytes(raw), big_endian)


def parser(rng: random.Random) -> None:
    assemble_text(mutated(TEXT, LETTERS, rng))


def reader(rng: random.Random) -> None:
    prog = Program.from_json(mutated(json.dumps(RECORD), '0123456789abcdef{}[],:"nul-e. ', rng))
    assert Program.from_json(prog.to_json()) == prog


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    cases: list[tuple[str, Callable[[random.Random], None]]] = [
        ("decoder", decoder), ("text parser", parser), ("JSON reader", reader)
    ]  # fmt: skip
    for name, case in cases:
        rng, accepted, slowest = random.Random(seed), 0, 0.0
        for _ in range(count):
            begin = time.process_time()
            try:
                case(rng)
                accepted += 1
            except BpfbenchError as error:
                assert str(error)
            slowest = max(slowest, time.process_time() - begin)
        print(f"{name:12} {count} inputs, {accepted} accepted, the rest typed errors; slowest {slowest:.3f} s CPU")
        assert slowest < 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
