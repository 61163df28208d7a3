"""Instructions that fill registers in other ways: ld_field, immed, local_csr and mul_step.

    ld_field[d, 0011, s, >>8]    bytes 0 and 1 of d from s shifted; ld_field_w_clr clears the others
    immed_w1[d, 0x1234]          the upper half of d; both read d, so d cannot be a transfer register: reading one gives
                                 what memory sent, writing one changes what memory will get
    local_csr_rd[X]; immed[d, 0] the value appears in the instruction after
    mul_step                     start, steps of 8 bits, last (low half), last2 (high half): operands stay the same
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import MachineError
from bpfbench.execute.nfp_arith import Run, refuse_predicate, shifter
from bpfbench.execute.nfp_operands import Operands
from bpfbench.execute.nfp_state import U32, Context
from bpfbench.machine import nfp

LANES: Final = [0xFF << 8 * byte for byte in range(4)]
ACTIVE_POINTERS: Final = {0x064: 0, 0x06C: 1, 0x094: 2, 0x09C: 3}
RANDOM, TIME_LOW, TIME_HIGH = 0x148, 0x0C0, 0x0C4
REMEMBERED: Final = (0x070, 0x074, 0x140, 0x160)        # nothing that is simulated depends on them
MUL_BITS: Final = {2: 16, 3: 32}


def ld_field(f: dict[str, int], o: Operands) -> Run:
    refuse_predicate(f)
    (dst, bank), (src, other) = (("a", "A"), ("b", "B")) if not f["sw"] else (("b", "B"), ("a", "A"))
    place = o.narrow(f[dst], bank, f["dst_lm"])
    clear, codes = bool(f["zero"]), bool(f["cc"])
    if place[0] == "const":
        raise MachineError("ld_field needs a destination")
    if f["sc"] == nfp.DOUBLE:
        raise MachineError("ld_field with a double shift is not simulated")
    kept, given = o.source(*place), o.source(*o.narrow(f[src], other, f["src_lm"], f["i8"]))
    put, moved = o.sink(*place), shifter(f["sc"], f["shift"])
    mask = sum(lane for byte, lane in enumerate(LANES) if f["mask"] >> byte & 1)
    merges = place[0] == "xfer" and not clear and f["mask"] != 15

    def run(c: Context) -> None:
        if merges:
            raise c.hazard("transfer merge", "the other bytes would come from the transfer-in register of that number")
        value = moved(c, 0, given(c)) & mask
        if not clear:
            value |= kept(c) & (mask ^ U32)
        if codes:
            c.n, c.z, c.c, c.v = value >> 31, int(not value), None, None
        put(c, value)
        c.prev_a, c.prev_res = None, value

    return run


def immed(f: dict[str, int], o: Operands) -> Run:
    refuse_predicate(f)
    in_b = f["a"] >> 8 == 3 and f["b"] >> 8 != 3
    place = o.wide(f["b"], "B", f["dst_lm"]) if in_b else o.wide(f["a"], "A", f["dst_lm"])
    constant = (f["a"] if in_b else f["b"]) & 0xFF | f["hi"] << 8
    put, move = o.sink(*place), o.move_pointers()
    if f["width"]:
        size = 0xFF if f["width"] == 1 else 0xFFFF
        shift = 8 * f["shift"]
        if f["width"] == 3 or f["inv"] or shift & 8 and size == 0xFFFF:
            raise MachineError("this form of immed is not simulated")
        mask = size << shift
        value, kept = (constant & size) << shift, o.source(*place)
    else:
        value, mask = constant << 8 * f["shift"], U32
        value = value ^ U32 if f["inv"] else value & U32

    def whole(c: Context) -> None:
        result = value
        if c.csr_read is not None:
            result, c.csr_read = value | c.csr_read, None
        put(c, result)
        c.prev_a, c.prev_res = None, result
        if move is not None:
            move(c)

    def part(c: Context) -> None:
        if place[0] == "xfer":
            raise c.hazard("transfer merge", "the other bytes would come from the transfer-in register of that number")
        result = value | kept(c) & (mask ^ U32) if place[0] != "const" else value
        put(c, result)
        c.prev_a, c.prev_res = None, result
        if move is not None:
            move(c)

    return part if f["width"] else whole


def local_csr(f: dict[str, int], o: Operands) -> Run:
    address = 4 * f["csr"]
    name = nfp.CSRS.get(address, f"{address:#x}")
    if not f["write"]:
        return _csr_read(address, name)
    in_b = f["a"] >> 8 == 3 and f["b"] >> 8 != 3
    given = o.source(*(o.wide(f["b"], "B", f["src_lm"]) if in_b else o.wide(f["a"], "A", f["src_lm"])))
    move = o.move_pointers()
    if address not in ACTIVE_POINTERS and address not in REMEMBERED:
        raise MachineError(f"writing {name} is not simulated")
    pointer = ACTIVE_POINTERS.get(address)

    def run(c: Context) -> None:
        if pointer is not None:
            c.set_pointer(pointer, given(c))
        else:
            c.csrs[address] = given(c)
        c.prev_a = c.prev_res = None
        if move is not None:
            move(c)

    return run


def _csr_read(address: int, name: str) -> Run:
    if address not in ACTIVE_POINTERS and address not in (*REMEMBERED, RANDOM, TIME_LOW, TIME_HIGH):
        raise MachineError(f"reading {name} is not simulated")

    def run(c: Context) -> None:
        if address in ACTIVE_POINTERS:
            c.csr_read = c.pointer(ACTIVE_POINTERS[address])
        elif address == RANDOM:
            c.csr_read = c.random() & U32
        elif address in (TIME_LOW, TIME_HIGH):
            c.csr_read = c.cycle >> 4 >> (32 if address == TIME_HIGH else 0) & U32      # counts every 16 cycles
        else:
            c.csr_read = c.csrs.get(address, 0)
        c.prev_a = c.prev_res = None

    return run


# ------------------------------------------------------------------------------------------------------ multiplication
def mul_step(f: dict[str, int], o: Operands) -> Run:
    refuse_predicate(f)
    kind, step = f["type"], f["step"]
    if kind == 1 or step >= len(nfp.MUL_STEPS):
        raise MachineError("this multiplication step is not simulated")
    if kind and step >= 4:
        return _last(f, o, kind, step)
    left, right = o.pair(narrow=False)
    move = o.move_pointers()
    number, codes = step + 1 if kind else 0, not f["no_cc"]

    def run(c: Context) -> None:
        operands = left(c), right(c)
        if not kind:
            c.product, c.step = (0, *operands), 1
        elif c.product is None or c.product[0] not in (0, kind) or c.step != number or number > MUL_BITS[kind] // 8:
            raise c.hazard("multiplication", "this step does not follow the one before")
        elif c.product[1:] != operands:
            raise c.hazard("multiplication", "the operands are not those of the first step")
        else:
            c.product, c.step = (kind, *operands), number + 1
        if codes:
            c.clear_codes()
        c.prev_a = c.prev_res = None
        if move is not None:
            move(c)

    return run


def _last(f: dict[str, int], o: Operands, kind: int, step: int) -> Run:
    put = o.sink(*o.wide(f["a"], "B" if f["dst_ab"] else "A", f["dst_lm"]))
    bits = MUL_BITS[kind]
    steps = bits // 8
    expected, codes = steps + 1 if step == 4 else steps + 2, not f["no_cc"]

    def run(c: Context) -> None:
        if c.product is None or c.product[0] != kind or c.step != expected or step == 5 and bits == 16:
            raise c.hazard("multiplication", "no multiplication of this kind has come this far")
        size = (1 << bits) - 1
        value = (c.product[1] & size) * (c.product[2] & size)
        put(c, value >> (32 if step == 5 else 0) & U32)
        c.step += 1
        if step == 5:
            c.product = None
        if codes:
            c.clear_codes()
        c.prev_a = c.prev_res = None

    return run
