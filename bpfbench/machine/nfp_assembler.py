"""Text of the NFP micro-engine to words: the reverse of `nfp_text`, with the rules for banks and swapping.

One instruction reads at most one register of bank A and one of bank B, because each bank has its own field:

    op(left, right)     left in bank B, or right in bank A:   fields (A, B) = (right, left), swap bit 1
                        otherwise:                            fields (A, B) = (left, right), swap bit 0

Formats without a swap bit refuse operands in the wrong order.  Every error names the operand.
Source: `swreg_to_unrestricted` and `swreg_to_restricted` of the driver's nfp_asm.c.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, final

from bpfbench.errors import MachineError
from bpfbench.machine import nfp

ALU_CODE: Final = {name: code for code, name in nfp.ALU_OPS.items()}
CONDITION_CODE: Final = {name: code for code, name in nfp.CONDITIONS.items()} | {"bhs": 4, "blo": 5}
CSR_CODE: Final = {name: address for address, name in nfp.CSRS.items()}
COMMAND_CODE: Final = {name: key for key, name in nfp.MEM_COMMANDS.items()}
MODIFIER: Final = {"no_cc": "no_cc", "gpr_wrboth": "wr_ab", "predicate_cc": "pred", "load_cc": "cc"}
ALU: Final = nfp.FORMAT["alu"]
ALU_A: Final = ALU.fields["a"]
ALU_B: Final = ALU.fields["b"]
ALU_DST: Final = ALU.fields["dst"]
ALU_OP: Final = ALU.fields["op"]
ALU_SWAP: Final = ALU.fields["sw"]
ALU_DST_B: Final = ALU.fields["dst_ab"]
ALU_BOTH: Final = ALU.fields["wr_ab"]
ALU_SRC_LM: Final = ALU.fields["src_lm"]
ALU_DST_LM: Final = ALU.fields["dst_lm"]
LINE: Final = re.compile(r"([^\[\s]+)\[((?:[^\[\]]|\[\d+\])*)\]((?:, [^,\[]+(?:\[[^\]]*\])?)*)$")
LOCAL: Final = re.compile(r"\*l\$index([0-3])(?:\[(\d+)\]|(\+\+|--))?$")


@lru_cache(maxsize=1 << 12)
def kind_of(text: str) -> str:
    """A, B, xfer, next (the neighbour's), lm, const or none."""
    text = text.removeprefix("@")
    if text.startswith("gprA_"):
        return "A"
    if text.startswith("gprB_"):
        return "B"
    if text.startswith("$xfer_"):
        return "xfer"
    if text == "--":
        return "none"
    if text.startswith("*l$"):
        return "lm"
    if text.startswith("n$reg_"):
        return "next"
    if text[:1].isdigit():
        return "const"
    raise MachineError(f"operand {text!r} is not one of gprA_n, gprB_n, $xfer_n, *l$indexN, a constant or --")


def number(text: str, limit: int) -> int:
    try:
        value = int(text.removeprefix("."), 0)
    except ValueError:
        raise MachineError(f"{text!r} is not a number") from None
    if not 0 <= value < limit:
        raise MachineError(f"{text} is out of range, the limit is {limit - 1:#x}")
    return value


def pointer_high(*operands: str) -> int:
    """The extension bit for local-memory pointers 2 and 3; the sources of one instruction have to share it."""
    pointers = [text for text in operands if text.startswith("*l$")]
    if not pointers:
        return 0
    found = {int(match[1]) >> 1 for match in map(LOCAL.match, pointers) if match}
    if len(found) > 1:
        raise MachineError(f"{' and '.join(operands)}: pointers 0-1 and 2-3 do not mix in one instruction")
    return found.pop() if found else 0


@lru_cache(maxsize=1 << 12)
def unrestricted(text: str, dst: bool = False) -> int:
    kind = kind_of(text)
    if kind == "none":
        return 0x300 if dst else 0
    if kind == "const":
        if dst:
            raise MachineError(f"{text}: a constant cannot be written")
        return 0x300 | number(text, 256)
    if kind == "xfer":
        index = number(text[6:], 64)
        return 0x180 | index & 31 | (index & 32) << 1
    if kind == "lm":
        match = LOCAL.match(text)
        if not match or int(match[2] or 0) > 15:
            raise MachineError(f"{text!r} is not *l$indexN[offset], *l$indexN++ or *l$indexN--")
        low = {"++": 0x10, "--": 0x11}.get(match[3], int(match[2] or 0))
        return 0x200 | (int(match[1]) & 1) << 5 | low
    if kind == "next":
        return 0x280 | number(text[6:], 128)
    return 0x80 | number(text[6:], 128) if text.startswith("@") else number(text[5:], 32)


@final
class Operand:
    """An operand of a format without restrictions: its kind and its ten bits."""

    __slots__ = ("kind", "bits")

    def __init__(self, text: str, dst: bool) -> None:
        self.kind = kind_of(text)
        self.bits = unrestricted(text, dst)


_sources: dict[str, Operand] = {}
_targets: dict[str, Operand] = {}
OPERANDS: Final = 1 << 12                       # that are remembered


def operand(text: str, dst: bool = False) -> Operand:
    """There are few of them, so each is read once."""
    known = _targets if dst else _sources
    found = known.get(text)
    if found is None:
        if len(known) >= OPERANDS:
            known.clear()
        found = known[text] = Operand(text, dst)
    return found


@lru_cache(maxsize=1 << 12)
def restricted(text: str, dst: bool = False, limit: int = 128) -> int:
    """Eight bits; of a constant of eight bits the topmost is left to the instruction."""
    kind = kind_of(text)
    if kind == "none":
        return 0x20 if dst else 0
    if kind == "const":
        if dst:
            raise MachineError(f"{text}: a constant cannot be written")
        value = number(text, limit)
        return 0x20 | value & 0x1F | (value & 0x60) << 1
    if kind == "xfer":
        index = number(text[6:], 64)
        return 0x80 | index & 31 | (index & 32) << 1
    if kind == "lm":
        match = LOCAL.match(text)
        if not match or match[3] or int(match[2] or 0) > 7:
            raise MachineError(f"{text!r}: here local memory is *l$indexN[0..7] without ++ or --")
        return 0x50 | (int(match[1]) & 1) << 3 | int(match[2] or 0)
    if kind == "next" or text.startswith("@"):
        raise MachineError(f"{text} does not fit an operand of eight bits")
    return number(text[5:], 32)


def place(left: str, right: str, may_swap: bool = True) -> tuple[str, str, int]:
    """(operand of field A, operand of field B, swap bit)."""
    kinds = kind_of(left), kind_of(right)
    if kinds[0] == kinds[1] != "none":
        raise MachineError(f"{left} and {right} are of the same kind: one instruction reads one of each")
    if kinds[0] != "B" and kinds[1] != "A":
        return left, right, 0
    if not may_swap:
        raise MachineError(f"{left} and {right} are in each other's place and this instruction cannot swap them")
    return right, left, 1


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


def _i8(*operands: str) -> int:
    return int(any(kind_of(text) == "const" and number(text, 256) > 127 for text in operands))


def alu(dst: str, left: str, op: str, right: str, both_banks: bool = False) -> int:
    """`alu[dst, left, op, right]` for those who have no text to take apart.

    >>> alu("gprA_0", "gprA_2", "+", "0x1") == assemble("alu[gprA_0, gprA_2, +, 0x1]")
    True
    """
    code = ALU_CODE.get(op, -1)
    if code < 0:
        raise MachineError(f"{op!r} is no ALU operation")
    a, b, swap = place(left, right)
    first, second, target = operand(a), operand(b), operand(dst, True)
    word = ALU.match | ALU_OP.put(code) | ALU_DST.put(target.bits) | ALU_A.put(first.bits) | ALU_B.put(second.bits)
    if swap:
        word |= ALU_SWAP.put(1)
    if both_banks:
        word |= ALU_BOTH.put(1)
    if target.kind == "B":
        word |= ALU_DST_B.put(1)
    if target.kind == "lm":
        word |= ALU_DST_LM.put(pointer_high(dst))
    if first.kind == "lm" or second.kind == "lm":
        word |= ALU_SRC_LM.put(pointer_high(left, right))
    return word


def _alu(dst: str, left: str, op: str, right: str, extra: dict[str, int]) -> int:
    word = alu(dst, left, op, right)
    for name, value in extra.items():
        word |= ALU.fields[name].put(value)
    return word


def _alu_shf(dst: str, left: str, op: str, right: str, shift: dict[str, int], extra: dict[str, int]) -> int:
    if op not in nfp.SHIFT_OPS:
        raise MachineError(f"{op!r} is no operation of alu_shf")
    a, b, swap = place(left, right)
    return nfp.FORMAT["alu_shf"].pack(
        a=restricted(a, limit=256), b=restricted(b, limit=256), dst=restricted(dst, True), sw=swap,
        op=nfp.SHIFT_OPS.index(op), i8=_i8(a, b), dst_ab=int(kind_of(dst) == "B"), src_lm=pointer_high(a, b),
        dst_lm=pointer_high(dst), **shift, **extra,
    )  # fmt: skip


def _immed(name: str, dst: str, value_text: str, shift: str, extra: dict[str, int]) -> int:
    value, inverted, width, position = number(value_text, 1 << 32), 0, 0, len(shift) and int(shift[2:]) // 8
    if name != "immed":
        width, position = (1, int(name[-1])) if name[-2] == "b" else (2, 2 * int(name[-1]))
        if value >> (8 if width == 1 else 16):
            raise MachineError(f"{value_text} does not fit {name}")
    elif value > 0xFFFF:
        value, inverted = value ^ 0xFFFFFFFF, 1
        if value > 0xFFFF:
            raise MachineError(f"{value_text} is not a 16-bit constant or the complement of one")
    operands = {"a": unrestricted(dst, True), "b": 0x300 | value & 0xFF}
    if kind_of(dst) == "B":
        operands = {"a": operands["b"], "b": operands["a"]}
    high = pointer_high(dst)
    return nfp.FORMAT["immed"].pack(
        hi=value >> 8, width=width, inv=inverted, shift=position, src_lm=high, dst_lm=high, **operands, **extra
    )


def _ld_field(name: str, dst: str, mask: str, src: str, shift: dict[str, int], extra: dict[str, int]) -> int:
    a, b, swap = place(dst, src)
    return nfp.FORMAT["ld_field"].pack(
        a=restricted(a, limit=256), b=restricted(b, limit=256), sw=swap, i8=_i8(src), mask=int(mask, 2),
        zero=int(name.endswith("w_clr")), src_lm=pointer_high(dst, src), dst_lm=pointer_high(dst), **shift, **extra,
    )  # fmt: skip


def _command(operands: list[str], action: int, token: int) -> dict[str, int]:
    """What every command says besides its address."""
    xfer, count = number(operands[1].removeprefix("$xfer_"), 64), number(operands[-1], 9) - 1
    return {"token": token, "xfer": xfer, "cnt": count, "target": nfp.MEM | action}


def _mem(operands: list[str], extra: dict[str, int]) -> int:
    if operands[0] not in COMMAND_CODE:
        raise MachineError(f"{operands[0]!r} is no memory command")
    action, token, _ = COMMAND_CODE[operands[0]]
    left, right, mode = operands[2], operands[-2], 4
    if len(operands) == 4:  # an immediate address of 16 bits takes both fields
        address = number(operands[2], 1 << 16)
        fields = {"a": address & 0xFF, "b": address >> 8, "mode": 5}
        return nfp.FORMAT["cmd"].pack(**fields, **_command(operands, action, token), **extra)
    if "<<8" in operands:
        mode = 1 if kind_of(left) == "B" or kind_of(right) == "A" else 0
        left, right = (right, left) if mode else (left, right)
    a, b, _ = place(left, right, may_swap=False)
    if pointer_high(a, b):
        raise MachineError(f"{a}, {b}: commands take local-memory pointers 0 and 1 only")
    return nfp.FORMAT["cmd"].pack(a=restricted(a), b=restricted(b), mode=mode, **_command(operands, action, token), **extra)


def _branch(name: str, operands: list[str], defer: int) -> int:
    if name in ("rtn", "jump"):
        offset = number(operands[1], 1 << 17) if name == "jump" else 0
        fields = {"a": unrestricted(operands[0]), "b": 0x300 | offset & 0xFF}
        if kind_of(operands[0]) == "B":
            fields = {"a": fields["b"], "b": fields["a"]}
        return nfp.FORMAT["br_alu"].pack(hi=offset >> 8, defer=defer, **fields)
    target = number(operands[-1], nfp.CODE_STORE)
    if name in ("br_bset", "br_bclr"):
        pair = (operands[0], str(number(operands[1], 32) + 1))
        a, b = pair if kind_of(pair[0]) != "B" else pair[::-1]
        fields = {"a": restricted(a), "b": restricted(b), "set": int(name == "br_bset")}
        return nfp.FORMAT["br_bit"].pack(addr=target, defer=defer, src_lm=pointer_high(a, b), **fields)
    if name in ("br=byte", "br!=byte"):
        pair = (operands[0], operands[2])
        a, b = pair if kind_of(pair[0]) != "B" else pair[::-1]
        fields = {"a": restricted(a, limit=256), "b": restricted(b, limit=256), "eq": int(name == "br=byte")}
        fields |= {"byte": number(operands[1], 4), "i8": _i8(operands[2]), "src_lm": pointer_high(a, b)}
        return nfp.FORMAT["br_byte"].pack(addr=target, defer=defer, **fields)
    css = number(operands[0], 16) if len(operands) > 1 else 2
    pip = int(len(operands) == 1 and name != "br")
    return nfp.FORMAT["br"].pack(cond=CONDITION_CODE[name], pip=pip, css=css, addr=target, defer=defer)


def _mul_step(operands: list[str], step: str, extra: dict[str, int]) -> int:
    kind, _, name = step.partition("_")
    fields = {"type": nfp.MUL_TYPES.index(kind), "step": nfp.MUL_STEPS.index(name) if name else 0}
    if fields["step"] >= 4:
        dst = "--" if operands[0] == "0x0" else operands[0]
        fields |= {"a": unrestricted(dst, True), "b": 0, "dst_ab": int(kind_of(dst) == "B")}
        return nfp.FORMAT["mul_step"].pack(dst_lm=pointer_high(dst), **fields, **extra)
    a, b, swap = place(operands[0], operands[1])
    fields |= {"a": unrestricted(a), "b": unrestricted(b), "sw": swap, "src_lm": pointer_high(a, b)}
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
    value = unrestricted(operands[1])
    constant = value if kind_of(operands[1]) == "const" else 0x300
    a, b = (constant, value) if kind_of(operands[1]) == "B" else (value, constant)
    return nfp.FORMAT["local_csr"].pack(csr=csr, write=1, a=a, b=b, src_lm=pointer_high(operands[1]))


def _arithmetic(name: str, ops: list[str], extra: dict[str, int]) -> int:
    """alu, the counting operations and everything that shifts."""
    if name == "alu":
        return _alu(ops[0], ops[1], ops[2], ops[3], extra)
    if name in nfp.COUNTING:
        return _alu(ops[0], "--", name, ops[1], extra)
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
BRANCHES: Final = {"rtn", "jump", "br_bset", "br_bclr", "br=byte", "br!=byte"} | set(CONDITION_CODE)


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
