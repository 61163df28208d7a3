"""Hello, JIT: the bytes of a function that returns a number (stage 02).

The student's bytes are never run on the host: the judge reads them with bpfbench's own decoder, admits the instructions of
the task and no others, and lets an emulated machine run them.
"""

from __future__ import annotations

import importlib
import struct
from random import Random
from typing import Any, Final

from bpfbench.bits import s32
from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.execute.hello import Hello, emulated
from bpfbench.jit.targets import target_class

MACHINES: Final = ("x86_64", "aarch64", "riscv64")
# target -> what the task names, as the rows of the machine's table
ADMITTED: Final = {"x86_64": ("mov_ri32", "ret"), "aarch64": ("movz32", "movks32", "movk32", "ret"),
                   "riscv64": ("lui", "addiw", "jalr")}  # fmt: skip
MOST: Final = 4                      # instructions
LONGEST: Final = 8                   # bytes of one


def _pieces(answer: Any, target: str, value: int) -> list[bytes]:
    found = answer(target, value)
    if not isinstance(found, (list, tuple)) or not all(isinstance(one, (bytes, bytearray)) for one in found):
        raise Failed(f"code returns a list with the bytes of each instruction, this is {found!r}"[:200])
    sizes = [len(one) for one in found]
    if not 0 < len(sizes) <= MOST or not all(0 < size <= LONGEST for size in sizes):
        raise Failed(f"instructions of {sizes} bytes: {MOST} are enough, and none has more than {LONGEST}"[:200])
    return [bytes(one) for one in found]


def _hello_attempt(answer: Any, case: Any) -> Plain:
    """The bytes of each row of a `Hello` that was made with the answer."""
    target, value = case["target"], case["value"]

    def made() -> Plain:
        return [row.bytes.hex(" ") for row in Hello(value, target).rows]

    def step(target: str, value: int) -> list[bytes]:
        return _pieces(answer, target, value)

    return inside("bpfbench.execute.hello.code", step if callable(answer) else answer, made)


def _hello_judge(case: Any, got: Plain) -> str:
    target, machine = case["target"], target_class(case["target"]).machine
    stopped: Any = importlib.import_module("unicorn").UcError
    pieces = [bytes.fromhex(text) for text in got]
    for raw in pieces:
        named = machine.decode(raw)
        if named is None or named[2] != len(raw):
            return f"{target}: {raw.hex(' ')} is not one instruction"
        if named[0].name not in ADMITTED[target]:
            return f"{target}: {named[0].text(named[1], machine.kinds, 0)} is no instruction of the table"
    try:
        returned = s32(emulated(target, b"".join(pieces)))
    except stopped as error:
        return f"{target}: the code does not come back: {error}"
    if returned != case["value"]:
        return f"{target}: returns {returned} ({returned & 0xFFFF_FFFF:#x}), not {case['value']}"
    return ""


def _code(carried: bool = True, shifted: bool = True, upper: bool = True, little: bool = True, half: bool = True) -> Any:
    """code with one thing wrong; without options, the reference."""

    def words(target: str, value: int) -> list[bytes]:
        value &= 0xFFFF_FFFF
        low, high = value & 0xFFFF, value >> 16
        if target == "x86_64":
            return [b"\xb8" + struct.pack("<I" if little else ">I", value), b"\xc3"]
        if target == "aarch64":
            at = 5 if shifted else 0
            second = 0x72A00000 if half else 0x72800000
            made = [0x52800000 | low << at, *([second | high << at] if upper else []), 0xD65F03C0]
        else:
            top = (value + 0x800 >> 12 if carried else value >> 12) & 0xFFFFF
            made = [top << 12 | 10 << 7 | 0x37, (value & 0xFFF) << 20 | 10 << 15 | 10 << 7 | 0x1B, 0x8067]
        return [struct.pack("<I" if little else ">I", word) for word in made]

    return words


def hello_cases(random: Random) -> list[Any]:
    """For each machine small and large numbers, negative ones, and some whose bit 11 is set."""
    made: list[Any] = []
    for target in MACHINES:
        half = random.randrange(1 << 19) << 12 | 0x800 | random.randrange(0x800)
        values = (random.randrange(100), random.randrange(1 << 16, 1 << 31), -random.randrange(1, 1 << 31), half)
        made += [{"target": target, "value": value} for value in values]
    return made


def draw_hello(case: Any, wanted: Plain, got: Plain) -> str:
    """Both codes as listings, read by the machine's decoder."""
    target = case["target"]
    machine = target_class(target).machine
    lines = [f"  {line}" for line in str(Hello(case["value"], target).listing()).splitlines()]
    lines.append("  got:")
    for text in got:
        named = machine.decode(bytes.fromhex(text))
        lines.append(f"       {text:16}  {named[0].text(named[1], machine.kinds, 0) if named else 'no instruction'}")
    return "\n".join(lines)


_HERE: Final = "bpfbench.course.exercises.hello."

EXERCISES: Final = [
    Exercise("hello-code", "code", "The smallest compiler, on three machines", 2, 4, "02 hello, JIT", "7-9",
             public=[{"target": target, "value": value} for target in MACHINES for value in (42, 70000, -2, 0x1234_5FFF)],
             more=hello_cases, attempt=_hello_attempt, judge=_hello_judge, draw=draw_hello,
             mistakes=(("addiw adds a number *with sign*: where bit 11 is set, the upper part has to be one more",
                        as_if(_hello_attempt, _code(carried=False))),
                       ("on AArch64 the constant's field begins at bit 5",
                        as_if(_hello_attempt, _code(shifted=False))),
                       ("movz leaves the upper 16 bits zero: movk has to write them",
                        as_if(_hello_attempt, _code(upper=False))),
                       ("movk without `lsl 16` writes the low half again",
                        as_if(_hello_attempt, _code(half=False))),
                       ("these machines are little endian: the lowest byte comes first",
                        as_if(_hello_attempt, _code(little=False)))),
             seals=("bpfbench.execute.hello.code", "bpfbench.execute.hello.plan", _HERE + "_code")),
]  # fmt: skip
