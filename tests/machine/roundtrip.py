"""What every machine's rows are held to: three independent opinions about the same random words.

    operands -> encode -> decode -> the same row (or an alias of it) and operands
    our text -> LLVM's assembler -> the same word
    word     -> Capstone's text  == our text, but for the listed spellings

Operands are drawn from the range that the row itself states, its ends more often than the middle.
"""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bpfbench.machine.pattern import Encoding, Kind, Machine

Draw = Callable[[Encoding, int, int], int]
Word = tuple[Encoding, list[int], bytes]


def words(machine: Machine, each: int, fit: Draw, seed: int = 1) -> list[Word]:
    """`each` random instructions of every row, as decoded; `fit` adjusts an operand to what the manual defines."""
    rng = random.Random(seed)
    found: list[Word] = []
    for row in machine.rows:
        for _ in range(each):
            operands = []
            for i in range(len(row.names)):
                lo, hi, step = row.range(i)
                value = rng.choice([lo, hi, hi, lo + step if hi > lo else lo])
                if rng.random() < 0.7:
                    value = rng.randrange(lo, hi + 1, step)
                operands.append(fit(row, i, value))
            raw = row.encode(operands)
            decoded = machine.decode(raw)
            assert decoded is not None, f"{row} with {operands} does not decode"
            assert decoded[0].encode(decoded[1]) == raw
            if decoded[0] is row:
                assert decoded[1] == operands
            else:                               # an alias stands before what it abbreviates
                assert machine.rows.index(decoded[0]) < machine.rows.index(row)
            found.append((decoded[0], decoded[1], raw))
    return found


def texts(machine: Machine, found: Sequence[Word], kinds: dict[str, Kind]) -> list[str]:
    """Assembly text; `kinds` are printed differently (distances as numbers, registers as the assembler wants them)."""
    printed = {**machine.kinds, **kinds}
    return [row.text(operands, printed) for row, operands, _ in found]


def assembled(lines: Sequence[str], prelude: str, folder: Path, *options: str) -> list[bytes]:
    """The words that LLVM's assembler makes of the lines; skips where there is no LLVM."""
    tool = shutil.which("llvm-mc-19") or shutil.which("llvm-mc")
    copy = shutil.which("llvm-objcopy-19") or shutil.which("llvm-objcopy")
    if tool is None or copy is None:
        pytest.skip("no llvm-mc: install LLVM (Debian: apt-get install llvm-19)")
    made, image = folder / "words.o", folder / "words.bin"
    source = prelude + "".join(line + "\n" for line in lines)
    done = subprocess.run(
        [tool, *options, "-filetype=obj", "-o", str(made)], input=source, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr[:500]
    subprocess.run([copy, "-O", "binary", "-j", ".text", str(made), str(image)], check=True, timeout=60)
    raw = image.read_bytes()
    return [raw[at : at + 4] for at in range(0, len(raw), 4)]


def differences(lines: Sequence[str], found: Sequence[Word], made: Sequence[bytes]) -> list[tuple[str, str, str]]:
    """(text, our word, LLVM's word) where the two are not the same."""
    rows = zip(lines, found, made, strict=True)
    return [(line, raw.hex(), other.hex()) for line, (_, _, raw), other in rows if raw != other]
