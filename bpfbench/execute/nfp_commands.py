"""Memory commands: up to 128 bytes between card memory and the transfer registers.

    read8          byte k -> lane 3 - k%4 of $xfer[k/4]: a big-endian load        read32_swap   little-endian words
    write8_swap    byte k <- lane k%4: a little-endian store of any length        write32_swap  little-endian words
    add, add64     counters in big-endian words, the low word first               add_imm       16 bits from PREV_RES

The length is CNT + 1 units or, with indirect_ref, what PREV_RES says: bit 7 "use the length", 12:8 length - 1, 5:3 = 2
"use the data in 31:16".  The address is A + B (32 bits) or (A << 8) + B (40 bits).  A command that swaps has its data
phase after its slots, so moves to transfer registers in the slots count; without a swap it happens at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.errors import MachineError
from bpfbench.execute.nfp_arith import Run
from bpfbench.execute.nfp_flow import swap
from bpfbench.execute.nfp_operands import Operands
from bpfbench.execute.nfp_state import TRANSFER, U32, Context
from bpfbench.machine import nfp

U40: Final = (1 << 40) - 1
NO_SWAP: Final = 3
ADDRESSES: Final[dict[int, Callable[[int, int], int]]] = {
    0: lambda a, b: (a << 8) + b & U40,
    1: lambda a, b: (b << 8) + a & U40,
    4: lambda a, b: a + b & U32,
}
# (context, first transfer register, address, units, data of 16 bits or None)
Transfer = Callable[[Context, int, int, int, "int | None"], None]


def _read_bytes(c: Context, x: int, address: int, count: int, data: int | None) -> None:
    content = c.bus.read(address, count)
    for k, byte in enumerate(content):
        shift = 24 - 8 * (k % 4)
        c.xin[x + k // 4] = c.xin[x + k // 4] & (0xFF << shift ^ U32) | byte << shift
    c.touched = ("read", address, content)


def _read_words(order: str) -> Transfer:
    def read(c: Context, x: int, address: int, count: int, data: int | None) -> None:
        content = c.bus.read(address, 4 * count)
        for i in range(count):
            word = content[4 * i : 4 * i + 4]
            c.xin[x + i] = int.from_bytes(word, "little" if order == "little" else "big")
        c.touched = ("read", address, content)

    return read


def _write_bytes(c: Context, x: int, address: int, count: int, data: int | None) -> None:
    content = bytes(c.xout[x + k // 4] >> 8 * (k % 4) & 0xFF for k in range(count))
    c.bus.write(address, content)
    c.touched = ("write", address, content)


def _write_words(order: str) -> Transfer:
    def write(c: Context, x: int, address: int, count: int, data: int | None) -> None:
        words = c.xout[x : x + count]
        content = b"".join(word.to_bytes(4, "little" if order == "little" else "big") for word in words)
        c.bus.write(address, content)
        c.touched = ("write", address, content)

    return write


def _add(wide: bool) -> Transfer:
    """A counter of 32 bits, or of two words of which the low one comes first; each in big-endian order."""
    def add(c: Context, x: int, address: int, count: int, data: int | None) -> None:
        size = 8 if wide else 4
        words = [int.from_bytes(c.bus.read(address + at, 4), "big") for at in range(0, size, 4)]
        amount = data if data is not None else c.xout[x] | (c.xout[x + 1] << 32 if wide else 0)
        total = sum(word << 32 * i for i, word in enumerate(words)) + amount
        content = b"".join((total >> 32 * i & U32).to_bytes(4, "big") for i in range(size // 4))
        c.bus.write(address, content)
        c.touched = ("add", address, content)

    return add


# fmt: off
#                name             what happens            registers for n units         bytes of a unit
COMMANDS: Final[dict[str, tuple[Transfer, Callable[[int], int], int]]] = {
    "read8":        (_read_bytes,           lambda n: (n + 3) // 4, 1),
    "read32":       (_read_words("big"),    lambda n: n,            4),
    "read32_swap":  (_read_words("little"), lambda n: n,            4),
    "write8_swap":  (_write_bytes,          lambda n: (n + 3) // 4, 1),
    "write32":      (_write_words("big"),   lambda n: n,            4),
    "write32_swap": (_write_words("little"), lambda n: n,           4),
    "add":          (_add(False),           lambda n: 1,            4),
    "add64":        (_add(True),            lambda n: 2,            8),
}
# fmt: on


def command(f: dict[str, int], o: Operands) -> Run:
    action, wide = f["target"] & 0x1F, f["cnt"] >> 2
    name = nfp.MEM_COMMANDS.get((action, f["token"], wide if 7 <= action <= 10 else 0), "")
    immediate = name in ("add_imm", "add64_imm")
    if f["target"] & 0x60 != nfp.MEM or name not in COMMANDS and not immediate or f["mode"] not in ADDRESSES:
        raise MachineError(f"memory command {name or hex(f['target'])} with address mode {f['mode']} is not simulated")
    left, right = o.source(*o.narrow(f["a"], "A", 0)), o.source(*o.narrow(f["b"], "B", 0))
    join, x, fixed, signal = ADDRESSES[f["mode"]], f["xfer"], f["cnt"] + 1, f["sig"]
    swaps, overridden = f["ctx"] != NO_SWAP, bool(f["indirect"])

    def run(c: Context) -> None:
        address = join(left(c), right(c))
        kind, units, data = name, fixed, None
        if overridden or immediate:
            kind, units, data = _override(c, name, fixed, overridden)
        transfer, registers, size = COMMANDS[kind]
        if x + registers(units) > TRANSFER:
            raise c.hazard("transfer registers", f"{registers(units)} from $xfer_{x} on are more than there are")

        at = c.pc

        def phase(done: Context) -> int:
            try:
                transfer(done, x, address, units, data)
            except MachineError as error:
                done.pc = at
                raise done.hazard("memory", error.message) from None
            return done.bus.latency(address, size * units)

        if swaps:
            if not signal:
                raise c.hazard("signal", "a swap that no signal ends")
            swap(c, f["ctx"], phase)
        else:
            _leave_running(c, kind, phase, x, registers(units), signal)
            c.prev_a = c.prev_res = None

    return run


def _override(c: Context, name: str, units: int, overridden: bool) -> tuple[str, int, int | None]:
    """Name, units and data of a command whose fields PREV_RES changes."""
    word = c.prev_res
    if not overridden or word is None:
        raise c.hazard("length override", "the instruction before has no result that could be the override")
    ove_data, ove_len, length = word >> 3 & 7, word >> 7 & 1, word >> 8 & 0x1F
    if name.startswith("add"):
        wide = length >> 2 & 1 if ove_len else name == "add64_imm" or name == "add64"
        if name.endswith("_imm") and ove_data != 2:
            raise c.hazard("length override", "an immediate addition needs data in the override")
        return "add64" if wide else "add", 1, word >> 16 if ove_data == 2 else None
    return name, length + 1 if ove_len else units, None


def _leave_running(c: Context, kind: str, phase: Callable[[Context], int], x: int, count: int, signal: int) -> None:
    """Without a swap the context goes on; what a read fetches may be looked at after its signal."""
    arrives = c.cycle + phase(c)
    if signal:
        c.signals[signal] = arrives
    if kind.startswith("read"):
        for register in range(x, x + count):
            c.flying[register] = signal
