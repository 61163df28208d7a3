"""The stack byte by byte, and how far a packet may be read (stages 08, 09)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import first_difference, hole
from bpfbench.verifier import branch, stack
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.precision import mark_chain
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import Scalar
from bpfbench.verifier.state import INVALID, MISC, SPILL, ZEROED, Frame, Slot

# Bytes of the stack --------------------------------------------------------------------------------------------------

LETTERS: Final = {INVALID: "?", MISC: "m", ZEROED: "0", SPILL: "r"}
TYPES: Final = {letter: kind for kind, letter in LETTERS.items()}


def _text(types: bytes) -> str:
    """From the lowest address up."""
    return "".join(LETTERS[kind] for kind in reversed(types))


def _types(text: str) -> bytes:
    return bytes(TYPES[letter] for letter in reversed(text))


def _stored(answer: Any, before: str, at: int, size: int, zero: bool) -> str:
    found = answer(before, at, size, zero)
    if not isinstance(found, str) or len(found) != 8 or set(found) - set(TYPES):
        raise Failed(f"store returns eight letters out of ? m 0 r, this is {found!r}"[:200])
    return found


def _store_step(answer: Any) -> Any:
    def step(w: Any, frame: Frame, spi: int, byte: int, size: int, value: int, reg: RegState | None, zero: bool) -> None:
        null = bool(reg is not None and reg.is_null) or zero
        if null and value >= 0:
            mark_chain(w, value)
        after = _stored(answer, _text(frame.stack[spi].types), 7 - (byte & 7), size, null)
        frame.stack[spi] = Slot(_types(after), rs.UNINIT)

    return step


def _store_direct(answer: Any, case: Any) -> Plain:
    return _stored(answer, case["slot"], case["at"], case["size"], case["zero"])


class _Stage:
    """Just enough of a walk for one store, or one load, of data."""

    liveness = 1
    retval_precise = sub_spills = True
    allow_uninit = False
    version = (6, 18)

    def __init__(self) -> None:
        self.k = self
        self.unknown_reg = rs.UNKNOWN_NUMBER


def _engine_store(before: str, at: int, size: int, zero: bool) -> str:
    frame = Frame(0, 0, 0, False)
    frame.stack[:] = [Slot(_types(before), rs.UNKNOWN_NUMBER)]
    stage: Any = _Stage()
    stack._write_data(stage, frame, 0, 7 - at, size, -1, None, zero)
    return _text(frame.stack[0].types)


_store_attempt, _store_expected = hole("bpfbench.verifier.stack._write_data", _store_step, _store_direct, _engine_store)


def _store(keep_spill: bool = False, everything: bool = False, no_zero: bool = False, downward: bool = False) -> Any:
    """store with one thing wrong."""

    def mistaken(before: str, at: int, size: int, zero: bool) -> str:
        bytes_ = list(before)
        if "r" in before and not keep_spill:
            bytes_ = ["?" if b == "?" and not everything else "m" for b in before]
        start = at - size + 1 if downward else at
        for i in range(start, start + size):
            bytes_[i % 8] = "0" if zero and not no_zero else "m"
        return "".join(bytes_)

    return mistaken


def data_program(random: Random) -> str:
    """Stores of data into slots that hold saved registers, zeros and nothing."""
    lines = ["r6 = r1", "r7 = *(u32 *)(r1 +16)", "r8 = 0"]
    for _ in range(random.randrange(5, 9)):
        size = random.choice((1, 2, 4, 8))
        at = random.randrange(0, 8 // size) * size
        if size == 8 or random.random() < 0.25:
            lines.append(f"*(u64 *)(r10 -{8 * random.randrange(1, 3)}) = r{random.choice((6, 7, 8))}")
        else:
            off = 8 * random.randrange(1, 3) - (at or size)
            lines.append(f"*(u{8 * size} *)(r10 -{off}) = {random.choice(('r7', 'r8', 'r8'))}")
    return "\n".join([*lines, "r0 = 0", "exit"])


def store_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for before in ("rrrrrrrr", "????????", "00000000", "rrrr????", "mmmm0000", "rrrrmmmm", "??0m??mm"):
        size = random.choice((1, 2, 4))
        at = random.randrange(0, 8 // size) * size
        made.append({"slot": before, "at": at, "size": size, "zero": random.random() < 0.5})
    made += [{"slot": "rrrr????", "at": 4, "size": 1, "zero": True}, {"slot": "rrrrrrrr", "at": 2, "size": 2, "zero": False}]
    return made + [{"program": data_program(random)} for _ in range(2)]


def draw_store(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    arrow = " " * case["at"] + "^" * case["size"] + (" zero" if case["zero"] else " data")
    return f"  before     {case['slot']}\n  stored     {arrow}\n  expected   {wanted}\n  got        {got}"


# Packet ranges -------------------------------------------------------------------------------------------------------

PLACES: Final = ("regs", "stack")


class _Frame:
    """Registers and stack of a case; `None` is a register that holds something else."""

    def __init__(self, held: Any) -> None:
        self.regs = [_packet(one) if one else rs.UNINIT for one in held["regs"]]
        self.stack = [Slot(_types("rrrrrrrr"), _packet(one)) if one else Slot(_types("mmmmmmmm"), rs.UNINIT)
                      for one in held["stack"]]

    def ranges(self) -> list[list[int]]:
        return [[reg.range for reg in self.regs], [slot.reg.range for slot in self.stack]]


class _State:
    def __init__(self, case: Any) -> None:
        self.frames = [_Frame(held) for held in case["frames"]]


def _packet(held: list[int]) -> RegState:
    id, off, range_, umax = held
    scalar = Scalar.const(0).copy()
    scalar.umax = scalar.smax = scalar.u32max = scalar.s32max = umax
    scalar.m = (1 << umax.bit_length()) - 1
    return RegState(rs.PACKET, scalar, off, id, range=range_)


def _range_direct(answer: Any, case: Any) -> Plain:
    state = _State(case)
    answer(state, _packet(case["reg"]), case["strict"])
    return [frame.ranges() for frame in state.frames]


def _extend(state: Any, reg: RegState, strict: bool, *, stack_too: bool = True, all_frames: bool = True, ids: bool = True,
            grow: bool = True, minus: int = 1, moved: bool = False) -> None:  # fmt: skip
    """find_good_pkt_pointers; the options are mistakes."""
    if reg.off < 0 or (reg.off == 0 and strict) or reg.scalar.umax + reg.off > 0xFFFF:
        return
    proven = reg.off + (minus if strict else 0) + (reg.scalar.umax if moved else 0)
    for frame in state.frames if all_frames else state.frames[-1:]:
        for i, r in enumerate(frame.regs):
            if r.kind == rs.PACKET and (not ids or r.id == reg.id) and (r.range < proven or not grow):
                frame.regs[i] = r.with_range(proven)
        for i, slot in enumerate(frame.stack if stack_too else []):
            r = slot.reg
            if slot.spilled and r.kind == rs.PACKET and (not ids or r.id == reg.id) and (r.range < proven or not grow):
                frame.stack[i] = Slot(slot.types, r.with_range(proven))


def _extend_with(**mistake: Any) -> Any:
    return lambda state, reg, strict: _extend(state, reg, strict, **mistake)


_range_attempt, _range_expected = hole("bpfbench.verifier.branch.extend_range", lambda answer: answer, _range_direct,
                                       branch.extend_range)


def packet_program(random: Random) -> str:
    """Copies of a packet pointer in registers, on the stack, and in the caller's frame."""
    size, at = random.randrange(2, 30), random.randrange(0, 2)
    how = random.choice((f"if r4 > r3 goto out\nr5 = *(u8 *)(r2 +{size - 1})", "if r3 >= r4 goto ok\ngoto out\nok: r5 = 1",
                         f"if r4 >= r3 goto out\nr5 = *(u8 *)(r2 +{size - 1})", "if r3 < r4 goto out\nr5 = 2"))
    if random.random() < 0.5:
        return ("r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n*(u64 *)(r10 -8) = r2\nr4 = r2\n"
                f"r4 += {size}\n{how}\nr6 = *(u64 *)(r10 -8)\nr0 = *(u8 *)(r6 +{at})\nout: r0 = 0\nexit")  # fmt: skip
    return ("r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr6 = r2\n*(u64 *)(r10 -8) = r2\ncall f\nif r0 == 0 goto +1\n"
            f"r0 = *(u8 *)(r6 +{at})\nr0 = 0\nexit\nf: r4 = r2\nr4 += {size}\nr0 = 0\n{how}\nr0 = 1\nout: exit")


def range_cases(random: Random) -> list[Any]:
    def held() -> Any:
        if random.random() < 0.25:
            return None
        return [random.choice((0, 0, 3)), random.randrange(0, 20), random.choice((0, 0, 4, 40)), random.choice((0, 7))]

    made: list[Any] = []
    while len(made) < 8:
        frames = [{"regs": [held() for _ in range(3)], "stack": [held() for _ in range(2)]}
                  for _ in range(1 + len(made) % 2)]
        reg = [random.choice((0, 3)), random.choice((0, 8, 14, 34)), 0, random.choice((0, 7, 0xFFF0))]
        case = {"reg": reg, "strict": random.random() < 0.5, "frames": frames}
        before = [frame.ranges() for frame in _State(case).frames]
        if len(made) == 7 or _range_direct(branch.extend_range, case) != before:     # one may teach nothing
            made.append(case)
    return made + [{"program": packet_program(random)} for _ in range(4)]


def draw_range(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    id, off, _, umax = case["reg"]
    rows = [f"  checked: id={id} off={off} umax={umax}, at least {1 if case['strict'] else 0} byte(s) more"]
    for number, held in enumerate(case["frames"]):
        for which, place in enumerate(PLACES):
            for i, one in enumerate(held[place]):
                if one:
                    w, g = wanted[number][which][i], got[number][which][i]
                    rows.append(f"  frame {number} {place:5} {i}: id={one[0]} off={one[1]:<3} range {one[2]:<3} -> {w:<5}" +
                                (f" got {g}" if g != w else ""))
    return "\n".join(rows)


_SEALED: Final = tuple(f"bpfbench.course.exercises.memory.{n}" for n in (
    "_engine_store", "_store", "_extend", "_extend_with"))  # fmt: skip

EXERCISES: Final = [
    Exercise("stack-bytes", "store", "What a store leaves on the stack", 2, 4, "08 stack and spilled pointers", "18, 19",
             public=store_cases(Random(14)), more=store_cases, attempt=_store_attempt, expected=_store_expected,
             draw=draw_store,
             mistakes=(("data stored over a part of a saved register destroys all of it: its other bytes are just data",
                        as_if(_store_direct, _store(keep_spill=True))),
                       ("a byte that was never written stays so unless it is written now",
                        as_if(_store_direct, _store(everything=True))),
                       ("zeros are remembered as such", as_if(_store_direct, _store(no_zero=True))),
                       ("addresses grow to the right: the store begins at `at`",
                        as_if(_store_direct, _store(downward=True)))),
             seals=("bpfbench.verifier.stack._write_data", *_SEALED)),
    Exercise("packet-range", "find_good_pkt_pointers", "How far a packet may be read", 3, 6, "09 packets, maps, helpers",
             "30, 31", public=range_cases(Random(15)), more=range_cases, attempt=_range_attempt, expected=_range_expected,
             draw=draw_range,
             mistakes=(("pointers saved on the stack learn from the check as well",
                        as_if(_range_direct, _extend_with(stack_too=False))),
                       ("the callers' frames hold pointers, too", as_if(_range_direct, _extend_with(all_frames=False))),
                       ("only pointers with the same id are at a known distance from the one that was checked",
                        as_if(_range_direct, _extend_with(ids=False))),
                       ("what was proven before stays proven: a range only grows",
                        as_if(_range_direct, _extend_with(grow=False))),
                       ("a strict comparison leaves one byte more", as_if(_range_direct, _extend_with(minus=0))),
                       ("the unknown part of the offset is in every pointer with this id: only `off` counts",
                        as_if(_range_direct, _extend_with(moved=True)))),
             seals=("bpfbench.verifier.branch.extend_range", *_SEALED)),
]  # fmt: skip
