"""Text of the NFP micro-engine to words: the reverse of `nfp_text`.

    alu[gprA_0, gprA_2, +, gprB_4], gpr_wrboth   ->   name, operands, modifiers   ->   fields of a format   ->   45 bits

What an operand says, and which field it goes to, is in `nfp_operands.py`.  `alu` and `immed`, of which most code
consists, have a form without text.  Every error names what is wrong.
Source: the driver's nfp_asm.c, and the formats of `nfp.py`.
"""

from __future__ import annotations

import re
from typing import Final

from bpfbench.errors import MachineError
from bpfbench.machine import nfp
from bpfbench.machine.nfp_operands import CONSTANT, Operand, destination, number, operand, place, restricted

ALU_CODE: Final = {name: code for code, name in nfp.ALU_OPS.items()}
CONDITION_CODE: Final = {name: code for code, name in nfp.CONDITIONS.items()} | {"bhs": 4, "blo": 5}
CSR_CODE: Final = {name: address for address, name in nfp.CSRS.items()}
COMMAND_CODE: Final = {name: key for key, name in nfp.MEM_COMMANDS.items()}
MODIFIER: Final = {"no_cc": "no_cc", "gpr_wrboth": "wr_ab", "predicate_cc": "pred", "load_cc": "cc"}
ALU: Final = nfp.FORMAT["alu"]
ALU_A: Final = ALU.fields["a"].low
ALU_B: Final = ALU.fields["b"].low
ALU_DST: Final = ALU.fields["dst"].low
ALU_OP: Final = ALU.fields["op"].low
ALU_SWAP: Final = ALU.fields["sw"].put(1)
ALU_DST_B: Final = ALU.fields["dst_ab"].put(1)
IMMED: Final = nfp.FORMAT["immed"]
IMMED_A: Final = IMMED.fields["a"].low
IMMED_B: Final = IMMED.fields["b"].low
IMMED_HIGH: Final = IMMED.fields["hi"].low
IMMED_WIDTH: Final = IMMED.fields["width"].low
IMMED_SHIFT: Final = IMMED.fields["shift"].low
IMMED_INVERTED: Final = IMMED.fields["inv"].put(1)
BOTH_BANKS: Final = ALU.fields["wr_ab"].put(1)          # these are where they are in every format
SRC_HIGH: Final = ALU.fields["src_lm"].low
DST_HIGH: Final = ALU.fields["dst_lm"].low
BYTE: Final = 1                                         # widths of an immediate that leaves the rest as it is
HALF_WORD: Final = 2
LINE: Final = re.compile(r"([^\[\s]+)\[((?:[^\[\]]|\[\d+\])*)\]((?:, [^,\[]+(?:\[[^\]]*\])?)*)$")


def keep_places(left: Operand, right: Operand) -> None:
    """Refuse operands that would have to be swapped, for an instruction that cannot."""
    if place(left, right)[2]:
        raise MachineError(f"{left.text} and {right.text} are in each other's place and this instruction cannot swap them")


def shift_fields(text: str) -> dict[str, int]:
    starts = {">>rot": nfp.ROTATE, ">>": nfp.RIGHT, "<<": nfp.LEFT}
    start = next((start for start in starts if text.startswith(start)), "")
    if not start:
        raise MachineError(f"{text!r} is no shift")
    sc = starts[start]
    amount = text[len(start) :]
    if amount == "indirect" and sc != nfp.ROTATE:
        return {"sc": sc, "shift": 0}
    value = number(amount, 32)
    if not value and sc != nfp.ROTATE:
        raise MachineError(f"{text}: a constant shift by 0 would become an indirect one")
    return {"sc": sc, "shift": 32 - value if sc == nfp.LEFT else value}


def _i8(*operands: Operand) -> int:
    return int(any(source.kind == "const" and source.bits & 0x80 for source in operands))


def alu(dst: str, left: str, op: str, right: str, both_banks: bool = False) -> int:
    """`alu[dst, left, op, right]` for those who have no text to take apart.

    >>> alu("gprA_0", "gprA_2", "+", "0x1") == assemble("alu[gprA_0, gprA_2, +, 0x1]")
    True
    """
    code = ALU_CODE.get(op, -1)
    if code < 0:
        raise MachineError(f"{op!r} is no ALU operation")
    target = destination(dst)
    first, second, swap = place(operand(left), operand(right))
    word = ALU.match | code << ALU_OP | target.bits << ALU_DST | first.bits << ALU_A | second.bits << ALU_B
    word |= (first.high | second.high) << SRC_HIGH | target.high << DST_HIGH
    if swap:
        word |= ALU_SWAP
    if target.kind == "B":
        word |= ALU_DST_B
    return word | BOTH_BANKS if both_banks else word


def immed(
    dst: str, value: int, shift: int = 0, inverted: bool = False, width: int = 0, both_banks: bool = False
) -> int:
    """`immed[dst, value, <<shift]` without text: 16 bits or their complement, or of `width` BYTE or HALF_WORD less.

    >>> immed("gprA_0", 0x12, shift=8) == assemble("immed[gprA_0, 0x12, <<8]")
    True
    """
    target = destination(dst)
    here, other = (IMMED_B, IMMED_A) if target.kind == "B" else (IMMED_A, IMMED_B)
    word = IMMED.match | target.bits << here | (CONSTANT | value & 0xFF) << other | (value >> 8) << IMMED_HIGH
    word |= width << IMMED_WIDTH | (shift >> 3) << IMMED_SHIFT | target.high << SRC_HIGH | target.high << DST_HIGH
    if inverted:
        word |= IMMED_INVERTED
    return word | BOTH_BANKS if both_banks else word


def _with(word: int, format: nfp.Format, extra: dict[str, int]) -> int:
    """The word with modifiers."""
    for name, value in extra.items():
        word |= format.fields[name].put(value)
    return word


def _alu_shf(dst: str, left: str, op: str, right: str, shift: dict[str, int], extra: dict[str, int]) -> int:
    if op not in nfp.SHIFT_OPS:
        raise MachineError(f"{op!r} is no operation of alu_shf")
    target = destination(dst)
    a, b, swap = place(operand(left), operand(right))
    return nfp.FORMAT["alu_shf"].pack(
        a=restricted(a, 256), b=restricted(b, 256), dst=restricted(target), sw=int(swap),
        op=nfp.SHIFT_OPS.index(op), i8=_i8(a, b), dst_ab=int(target.kind == "B"), src_lm=a.high | b.high,
        dst_lm=target.high, **shift, **extra,
    )  # fmt: skip


def _immed(name: str, dst: str, value_text: str, shift: str, extra: dict[str, int]) -> int:
    value, inverted, width = number(value_text, 1 << 32), False, 0
    moved = int(shift[2:]) if shift else 0
    if name != "immed":
        width = BYTE if name[-2] == "b" else HALF_WORD
        moved = 8 * width * int(name[-1])
        if value >> 8 * width:
            raise MachineError(f"{value_text} does not fit {name}")
    elif value > 0xFFFF:
        value, inverted = value ^ 0xFFFFFFFF, True
        if value > 0xFFFF:
            raise MachineError(f"{value_text} is not a 16-bit constant or the complement of one")
    if not 0 <= moved < 32:
        raise MachineError(f"{name}: a constant cannot be moved by {moved} bits")
    return _with(immed(dst, value, moved, inverted, width), IMMED, extra)


def _ld_field(name: str, dst: str, mask: str, src: str, shift: dict[str, int], extra: dict[str, int]) -> int:
    target, source = operand(dst), operand(src)
    a, b, swap = place(target, source)
    return nfp.FORMAT["ld_field"].pack(
        a=restricted(a, 256), b=restricted(b, 256), sw=int(swap), i8=_i8(source), mask=int(mask, 2),
        zero=int(name.endswith("w_clr")), src_lm=a.high | b.high, dst_lm=target.high, **shift, **extra,
    )  # fmt: skip


def _command(operands: list[str], action: int, token: int) -> dict[str, int]:
    """What every command says besides its address."""
    xfer, count = number(operands[1].removeprefix("$xfer_"), 64), number(operands[-1], 9) - 1
    return {"token": token, "xfer": xfer, "cnt": count, "target": nfp.MEM | action}


def _mem(operands: list[str], extra: dict[str, int]) -> int:
    if operands[0] not in COMMAND_CODE:
        raise MachineError(f"{operands[0]!r} is no memory command")
    action, token, _ = COMMAND_CODE[operands[0]]
    if len(operands) == 4:  # an immediate address of 16 bits takes both fields
        address = number(operands[2], 1 << 16)
        fields = {"a": address & 0xFF, "b": address >> 8, "mode": 5}
        return nfp.FORMAT["cmd"].pack(**fields, **_command(operands, action, token), **extra)
    left, right, mode = operand(operands[2]), operand(operands[-2]), 4
    if "<<8" in operands:
        mode = 1 if left.kind == "B" or right.kind == "A" else 0
        left, right = (right, left) if mode else (left, right)
    keep_places(left, right)
    if left.high or right.high:
        raise MachineError(f"{left.text}, {right.text}: commands take local-memory pointers 0 and 1 only")
    return nfp.FORMAT["cmd"].pack(
        a=restricted(left), b=restricted(right), mode=mode, **_command(operands, action, token), **extra
    )


def _return(name: str, operands: list[str], defer: int) -> int:
    """rtn and jump: the address is in a register."""
    source = operand(operands[0])
    offset = number(operands[1], 1 << 17) if name == "jump" else 0
    pair, in_b = (source.bits, CONSTANT | offset & 0xFF), source.kind == "B"
    return nfp.FORMAT["br_alu"].pack(a=pair[in_b], b=pair[not in_b], hi=offset >> 8, defer=defer)


def _test(name: str, operands: list[str], defer: int) -> int:
    """Branches that look at a bit or at a byte of a register."""
    source, target = operand(operands[0]), number(operands[-1], nfp.CODE_STORE)
    byte = name in ("br=byte", "br!=byte")
    wanted = operand(operands[2]) if byte else operand(str(number(operands[1], 32) + 1))
    pair, in_b = (restricted(source, 256), restricted(wanted, 256)), source.kind == "B"
    fields = {"a": pair[in_b], "b": pair[not in_b], "src_lm": source.high | wanted.high, "addr": target, "defer": defer}
    if not byte:
        return nfp.FORMAT["br_bit"].pack(set=int(name == "br_bset"), **fields)
    fields |= {"byte": number(operands[1], 4), "i8": _i8(wanted), "eq": int(name == "br=byte")}
    return nfp.FORMAT["br_byte"].pack(**fields)


def _branch(name: str, operands: list[str], defer: int) -> int:
    if name in RETURNING:
        return _return(name, operands, defer)
    if name in TESTING:
        return _test(name, operands, defer)
    target = number(operands[-1], nfp.CODE_STORE)
    css = number(operands[0], 16) if len(operands) > 1 else 2
    pip = int(len(operands) == 1 and name != "br")
    return nfp.FORMAT["br"].pack(cond=CONDITION_CODE[name], pip=pip, css=css, addr=target, defer=defer)


def _mul_step(operands: list[str], step: str, extra: dict[str, int]) -> int:
    kind, _, name = step.partition("_")
    fields = {"type": nfp.MUL_TYPES.index(kind), "step": nfp.MUL_STEPS.index(name) if name else 0}
    if fields["step"] >= 4:
        target = destination("--" if operands[0] == "0x0" else operands[0])
        fields |= {"a": target.bits, "b": 0, "dst_ab": int(target.kind == "B")}
        return nfp.FORMAT["mul_step"].pack(dst_lm=target.high, **fields, **extra)
    a, b, swap = place(operand(operands[0]), operand(operands[1]))
    fields |= {"a": a.bits, "b": b.bits, "sw": int(swap), "src_lm": a.high | b.high}
    return nfp.FORMAT["mul_step"].pack(**fields, **extra)


def _ctx_arb(ops: list[str], rest: dict[str, str], defer: int) -> int:
    numbers = [0 if event == "voluntary" else number(event.removeprefix("sig"), 16) for event in ops if event[0] != "-"
               and event != "kill"]  # fmt: skip
    resume = number(rest["br"], nfp.CODE_STORE) if "br" in rest else 0
    fields = {"any": int("any" in rest), "resume": int("br" in rest), "no_load": int(ops == ["--"])}
    return nfp.FORMAT["ctx_arb"].pack(events=sum(1 << n for n in set(numbers)), addr=resume, defer=defer, **fields)


def _csr(name: str, operands: list[str]) -> int:
    csr = (CSR_CODE.get(operands[0]) or number(operands[0], 0x2000)) // 4
    if name == "local_csr_rd":
        return nfp.FORMAT["local_csr"].pack(csr=csr)
    value = operand(operands[1])
    pair = (value.bits, value.bits if value.kind == "const" else CONSTANT)
    in_b = value.kind == "B"
    return nfp.FORMAT["local_csr"].pack(csr=csr, write=1, a=pair[in_b], b=pair[not in_b], src_lm=value.high)


def _arithmetic(name: str, ops: list[str], extra: dict[str, int]) -> int:
    """alu, the counting operations and everything that shifts."""
    if name == "alu":
        return _with(alu(ops[0], ops[1], ops[2], ops[3]), ALU, extra)
    if name in nfp.COUNTING:
        return _with(alu(ops[0], "--", name, ops[1]), ALU, extra)
    if name == "alu_shf":
        return _alu_shf(ops[0], ops[1], ops[2], ops[3], shift_fields(ops[4]), extra)
    if name == "dbl_shf":
        return _alu_shf(ops[0], ops[1], "B", ops[2], shift_fields(ops[3]) | {"sc": nfp.DOUBLE}, extra)
    if name in ("byte_align_be", "byte_align_le"):
        little = name.endswith("le")
        shift = {"sc": nfp.LEFT if little else nfp.RIGHT, "shift": 0}
        left, right = (ops[1], "--") if little else ("--", ops[1])
        return _alu_shf(ops[0], left, "byte_align", right, shift, extra)
    if name == "asr":
        return _alu_shf(ops[0], "--", "asr", ops[1], shift_fields(ops[2]), extra)
    shift = {"sc": nfp.ROTATE, "shift": 0} if len(ops) == 3 else shift_fields(ops[3])
    return _ld_field(name, ops[0], ops[1], ops[2], shift, extra)


ARITHMETIC: Final = nfp.COUNTING | {
    "alu",
    "alu_shf",
    "dbl_shf",
    "asr",
    "ld_field",
    "ld_field_w_clr",
    "byte_align_be",
    "byte_align_le",
}
RETURNING: Final = ("rtn", "jump")
TESTING: Final = ("br_bset", "br_bclr", "br=byte", "br!=byte")
BRANCHES: Final = {*RETURNING, *TESTING, *CONDITION_CODE}


def assemble(text: str) -> int:
    """The payload of one instruction; MachineError names what is wrong with it.

    >>> hex(assemble("immed[gprA_0, 0x2], gpr_wrboth"))
    '0x2f0000c0800'
    """
    if text.strip() == "nop":
        return assemble("immed[--, 0x0]")
    match = LINE.match(text.strip())
    if not match:
        raise MachineError(f"{text!r} is not of the form name[operands], modifiers")
    name, ops, rest = match[1], [part.strip() for part in match[2].split(",")], match[3]
    arguments: dict[str, str] = {}
    if rest:
        arguments = {part.partition("[")[0]: part.partition("[")[2].rstrip("]") for part in rest.split(", ")[1:]}
    try:
        return _line(name, ops, arguments)
    except (IndexError, TypeError, KeyError, ValueError):
        raise MachineError(f"{text!r}: wrong operands or modifiers for {name}") from None


def _line(name: str, ops: list[str], rest: dict[str, str]) -> int:
    defer = number(rest.get("defer", "0"), 4)
    if name in BRANCHES:
        return _branch(name, ops, defer)
    if name == "mem":
        swap = "ctx_swap" in rest
        signal = rest.get("ctx_swap", rest.get("sig_done", "sig0"))
        extra = {"ctx": defer if swap else 3, "sig": number(signal.removeprefix("sig"), 16)}
        return _mem(ops, extra | {"indirect": int("indirect_ref" in rest)})
    if name == "ctx_arb":
        return _ctx_arb(ops, rest, defer)
    if name in ("local_csr_wr", "local_csr_rd"):
        return _csr(name, ops)
    if name == "mul_step":
        step = next(iter(rest))
        return _mul_step(ops, step, {MODIFIER[part]: 1 for part in rest if part != step})
    extra = {MODIFIER[part]: 1 for part in rest}
    if name in ARITHMETIC:
        return _arithmetic(name, ops, extra)
    if name.startswith("immed"):
        return _immed(name, ops[0], ops[1], ops[2] if len(ops) > 2 else "", extra)
    raise MachineError(f"{name!r} cannot be assembled")
