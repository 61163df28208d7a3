"""Branches and swaps of the micro-engine: they take effect after their defer slots.

    beq[.9], defer[2]      the two instructions behind are executed whether or not the branch is taken
    dead cycles            a taken branch loses 3 fetches minus its slots; `br` is known a stage earlier and loses 2

A branch in the slots of a branch, a swap there, and more slots than the branch has are errors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.errors import MachineError
from bpfbench.execute.nfp_arith import Run
from bpfbench.execute.nfp_operands import Operands
from bpfbench.execute.nfp_state import Context
from bpfbench.machine import nfp

ALWAYS: Final = 0x18
EARLY, LATE = 2, 3          # fetches that are lost: unconditional, all others
SWAP_SLOTS: Final = 2

Test = Callable[[Context], bool]


def _code(c: Context, value: int | None, name: str) -> int:
    if value is None:
        raise c.hazard("condition codes", f"{name} is undefined here")
    return value


def _less(c: Context) -> bool:
    return _code(c, c.n, "N") != _code(c, c.v, "V")


# fmt: off
CONDITIONS: Final[dict[int, Test]] = {
    0x0: lambda c: _code(c, c.z, "Z") == 1,        0x1: lambda c: _code(c, c.z, "Z") == 0,
    0x2: lambda c: _code(c, c.n, "N") == 1,        0x3: lambda c: _code(c, c.n, "N") == 0,
    0x4: lambda c: _code(c, c.c, "C") == 1,        0x5: lambda c: _code(c, c.c, "C") == 0,
    0x6: lambda c: _code(c, c.v, "V") == 1,        0x7: lambda c: _code(c, c.v, "V") == 0,
    0x8: lambda c: not _less(c),                   0x9: _less,
    0xa: lambda c: c.z == 1 or _less(c),           0xb: lambda c: not (c.z == 1 or _less(c)),
    ALWAYS: lambda c: True,
}
# fmt: on


def take(c: Context, target: int, taken: bool, defer: int, lost: int) -> None:
    """Note a branch; the engine follows it after the slots."""
    if c.branch is not None:
        raise c.hazard("defer slot", "a branch in the slots of another")
    if c.swap is not None:
        raise c.hazard("defer slot", "a branch in the slots of a swap")
    if defer > lost:
        raise c.hazard("defer", f"defer[{defer}], but this branch has {lost} slots")
    if taken and not 0 <= target < nfp.CODE_STORE:
        raise c.hazard("branch", f"target {target} is not in the code store")
    c.branch = target if taken else -1
    c.slots = defer
    c.bubbles = lost - defer if taken else 0
    c.prev_a = c.prev_res = None


def br(f: dict[str, int], o: Operands) -> Run:
    cond, target, defer = f["cond"], f["addr"], f["defer"]
    lost = EARLY if cond == ALWAYS else LATE
    if cond in CONDITIONS:
        test = CONDITIONS[cond]
    elif cond in (0x10, 0x11):
        test = _state(lambda c: c.number == f["css"], cond == 0x10)
    elif cond in (0x12, 0x13):
        test = _state(lambda c: c.signals.get(f["css"], c.cycle + 1) <= c.cycle, cond == 0x12)
    else:
        raise MachineError("branches on the state of other units are not simulated")
    return lambda c: take(c, target, test(c), defer, lost)


def _state(holds: Test, expected: bool) -> Test:
    return lambda c: holds(c) == expected


def _register(o: Operands, f: dict[str, int], i8: int) -> tuple[Callable[[Context], int], int]:
    """(what reads the register, the constant) of a branch that compares the two."""
    a, b = (o.narrow(f[name], bank, f["src_lm"], i8) for name, bank in (("a", "A"), ("b", "B")))
    return (o.source(*b), a[1]) if a[0] == "const" else (o.source(*a), b[1] if b[0] == "const" else 0)


def br_bit(f: dict[str, int], o: Operands) -> Run:
    register, rotation = _register(o, f, 0)
    if not 1 <= rotation <= 32:
        raise MachineError(f"bit {rotation - 1} does not exist")
    bit, wanted, target, defer = rotation - 1, f["set"], f["addr"], f["defer"]
    return lambda c: take(c, target, register(c) >> bit & 1 == wanted, defer, LATE)


def br_byte(f: dict[str, int], o: Operands) -> Run:
    register, constant = _register(o, f, f["i8"])
    shift, wanted, target, defer = 8 * f["byte"], bool(f["eq"]), f["addr"], f["defer"]
    return lambda c: take(c, target, (register(c) >> shift & 0xFF == constant) == wanted, defer, LATE)


def br_alu(f: dict[str, int], o: Operands) -> Run:
    in_b = f["a"] >> 8 == 3
    register = o.source(*(o.wide(f["b"], "B", f["src_lm"]) if in_b else o.wide(f["a"], "A", f["src_lm"])))
    offset, defer = f["hi"] << 8 | (f["a"] if in_b else f["b"]) & 0xFF, f["defer"]
    return lambda c: take(c, register(c) + offset & 0xFFFFFFFF, True, defer, LATE)


# --------------------------------------------------------------------------------------------------------------- swaps
def swap(c: Context, slots: int, phase: Callable[[Context], int]) -> None:
    """Let another context run after the slots; `phase` then happens and returns the cycles to wait."""
    if c.branch is not None:
        raise c.hazard("defer slot", "a swap in the slots of a branch")
    if c.swap is not None:
        raise c.hazard("defer slot", "a swap in the slots of another")
    c.swap, c.command = slots, phase
    c.prev_a = c.prev_res = None


def arbitrate(f: dict[str, int], o: Operands) -> Run:
    """ctx_arb: wait for signals, give way, or end."""
    events = [number for number in range(16) if f["events"] >> number & 1]
    if f["no_load"] or f["defer"] > SWAP_SLOTS:
        raise MachineError("this form of ctx_arb is not simulated")

    def wait(c: Context) -> int:
        if not events:
            c.ended = True
            return 0
        if f["resume"]:
            c.pc = f["addr"]
        return waiting(c, [number for number in events if number], bool(f["any"]))

    return lambda c: swap(c, f["defer"], wait)


def waiting(c: Context, signals: list[int], one: bool) -> int:
    """Cycles until the signals (or one of them) have come; they are used up."""
    if not signals:
        return 0
    times = [c.signals[number] for number in signals if number in c.signals]
    if len(times) < (1 if one else len(signals)):
        raise c.hazard("signal", f"waits for {', '.join(f'sig{n}' for n in signals)}, which nothing will send")
    until = min(times) if one else max(times)
    for number in [n for n in signals if n in c.signals and c.signals[n] <= until]:
        del c.signals[number]
        c.flying = {register: signal for register, signal in c.flying.items() if signal != number}
    return max(until - c.cycle, 0)
