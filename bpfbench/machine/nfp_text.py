"""A word of the NFP micro-engine as text, in the notation of the vendor's disassembler (four-context mode).

    alu[gprA_8, gprA_8, +, 0x40], gpr_wrboth      mem[read32_swap, $xfer_0, gprA_4, 0x8, 2], ctx_swap[sig1]

Operands are printed in their logical order: where the encoding swapped the two sources because of their register
banks, the text shows them swapped back.  `--` is an absent operand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.errors import MachineError
from bpfbench.machine import nfp

NONE: Final = "--"


def local_memory(pointer: int, offset: int) -> str:
    return f"*l$index{pointer}[{offset}]" if offset else f"*l$index{pointer}"


def unrestricted(value: int, bank: str, pointer_high: int, dst: bool = False) -> str:
    """An operand of 10 bits; `bank` is the register bank which its field implies."""
    if value >> 8 == 3:
        return NONE if dst else f"{value & 0xFF:#x}"
    if value >> 8 == 2:
        if value & 0x80:
            return f"n$reg_{value & 0x7F}"
        if value & 0x40:
            return "*n$index++" if value & 2 else "*n$index"
        pointer = value >> 5 & 1 | pointer_high << 1
        if value & 0x10:
            return f"*l$index{pointer}" + ("--" if value & 1 else "++")
        return local_memory(pointer, value & 15)
    if value >> 7 == 3:
        return f"$xfer_{(value & 0x3F) % 32 + (value >> 6 & 1) * 32}"
    if value >> 7 == 2:
        return "*$index" + ("", "++", "--", "")[value >> 1 & 3]
    return f"@gpr{bank}_{value & 0x7F}" if value & 0x80 else f"gpr{bank}_{value & 0x1F}"


def restricted(value: int, bank: str, pointer_high: int, dst: bool = False, i8: int = 0) -> str:
    """An operand of 8 bits; `i8` is the eighth bit of a constant."""
    if value & 0x20:
        return NONE if dst else f"{value & 0x1F | value >> 1 & 0x60 | i8 << 7:#x}"
    if value & 0x80:
        return f"$xfer_{value & 0x1F | (value & 0x40) >> 1}"
    if value & 0x40:
        if value & 0x10:
            return local_memory(value >> 3 & 1 | pointer_high << 1, value & 7)
        return "*n$index" if value & 1 else "*$index"
    return f"gpr{bank}_{value & 0x1F}"


def shift_text(sc: int, shift: int) -> str:
    if sc == nfp.ROTATE:
        return f">>rot{shift}"
    if not shift:
        return "<<indirect" if sc == nfp.LEFT else ">>indirect"
    return f"<<{32 - shift}" if sc == nfp.LEFT else f">>{shift}"


def modifiers(f: dict[str, int]) -> str:
    names = (("no_cc", "no_cc"), ("wr_ab", "gpr_wrboth"), ("pred", "predicate_cc"), ("cc", "load_cc"))
    return "".join(f", {text}" for field, text in names if f.get(field))


def deferred(f: dict[str, int]) -> str:
    return f", defer[{f['defer']}]" if f["defer"] else ""


def destination(f: dict[str, int]) -> str:
    return "B" if f["dst_ab"] else "A"


def _alu(f: dict[str, int]) -> str:
    if f["op"] not in nfp.ALU_OPS:
        raise MachineError(f"ALU operation {f['op']:#x} has no text")
    op = nfp.ALU_OPS[f["op"]]
    left, right = unrestricted(f["a"], "A", f["src_lm"]), unrestricted(f["b"], "B", f["src_lm"])
    if f["sw"]:
        left, right = right, left
    dst = unrestricted(f["dst"], destination(f), f["dst_lm"], dst=True)
    if op in nfp.COUNTING:
        return f"{op}[{dst}, {right}]" + modifiers(f)
    return f"alu[{dst}, {NONE if op in nfp.UNARY else left}, {op}, {right}]" + modifiers(f)


def _alu_shf(f: dict[str, int]) -> str:
    op, sc = nfp.SHIFT_OPS[f["op"]], f["sc"]
    left = restricted(f["a"], "A", f["src_lm"], i8=f["i8"])
    right = restricted(f["b"], "B", f["src_lm"], i8=f["i8"])
    if f["sw"]:
        left, right = right, left
    dst = restricted(f["dst"], destination(f), f["dst_lm"], dst=True)
    shift = shift_text(sc, f["shift"])
    if op == "byte_align":
        return (f"byte_align_le[{dst}, {left}]" if sc == nfp.LEFT else f"byte_align_be[{dst}, {right}]") + modifiers(f)
    if op == "asr":
        return f"asr[{dst}, {right}, {shift}]" + modifiers(f)
    if sc == nfp.DOUBLE:
        return f"dbl_shf[{dst}, {left}, {right}, {shift}]" + modifiers(f)
    return f"alu_shf[{dst}, {NONE if op in nfp.UNARY else left}, {op}, {right}, {shift}]" + modifiers(f)


def _immed(f: dict[str, int]) -> str:
    if f["a"] == f["b"] == 0x300 and not f["hi"]:
        return "nop"
    if f["a"] >> 8 == 3 and f["b"] >> 8 != 3:
        dst, low = unrestricted(f["b"], "B", f["dst_lm"], dst=True), f["a"]
    else:
        dst, low = unrestricted(f["a"], "A", f["dst_lm"], dst=True), f["b"]
    value = low & 0xFF | f["hi"] << 8
    if f["width"] == 1:
        return f"immed_b{f['shift']}[{dst}, {low & 0xFF:#x}]" + modifiers(f)
    if f["inv"]:
        value ^= 0xFFFFFFFF
    if f["width"] == 2:
        return f"immed_w{f['shift'] >> 1}[{dst}, {value:#x}]" + modifiers(f)
    shift = ("", ", <<8", ", <<16", "")[f["shift"]]
    return f"immed[{dst}, {value:#x}{shift}]" + modifiers(f)


def _ld_field(f: dict[str, int]) -> str:
    a, b = (("a", "A"), ("b", "B")) if not f["sw"] else (("b", "B"), ("a", "A"))
    dst = restricted(f[a[0]], a[1], f["dst_lm"])
    src = restricted(f[b[0]], b[1], f["src_lm"], i8=f["i8"])
    shift = "" if f["sc"] == nfp.ROTATE and not f["shift"] else ", " + shift_text(f["sc"], f["shift"])
    name = "ld_field_w_clr" if f["zero"] else "ld_field"
    return f"{name}[{dst}, {f['mask']:04b}, {src}{shift}]" + modifiers(f)


def _ctx_arb(f: dict[str, int]) -> str:
    events = [f"sig{bit}" if bit else "voluntary" for bit in range(16) if f["events"] >> bit & 1]
    text = f"ctx_arb[{', '.join(events) or ('--' if f['no_load'] else 'kill')}]" + (", any" if f["any"] else "")
    return text + (f", br[.{f['addr']}]" if f["resume"] else "") + deferred(f)


def _local_csr(f: dict[str, int]) -> str:
    name = nfp.CSRS.get(f["csr"] * 4, f"{f['csr'] * 4:#x}")
    if not f["write"]:
        return f"local_csr_rd[{name}]"
    constant = f["a"] >> 8 == 3
    source = unrestricted(f["b"], "B", f["src_lm"]) if constant else unrestricted(f["a"], "A", f["src_lm"])
    return f"local_csr_wr[{name}, {source}]"


def _br(f: dict[str, int]) -> str:
    if f["cond"] not in nfp.CONDITIONS:
        raise MachineError(f"branch condition {f['cond']:#x} does not exist")
    number = f"{f['css']}, " if 0x10 <= f["cond"] <= 0x17 else ""
    return f"{nfp.CONDITIONS[f['cond']]}[{number}.{f['addr']}]" + deferred(f)


def _register_and_constant(f: dict[str, int], i8: int) -> tuple[str, int]:
    """Where one of the two fields holds a register and the other a constant."""
    a, b = (restricted(f[name], bank, f["src_lm"], i8=i8) for name, bank in (("a", "A"), ("b", "B")))
    return (b, int(a, 0)) if f["a"] & 0x20 else (a, int(b, 0) if f["b"] & 0x20 else 0)


def _br_byte(f: dict[str, int]) -> str:
    register, constant = _register_and_constant(f, f["i8"])
    return f"br{'' if f['eq'] else '!'}=byte[{register}, {f['byte']}, {constant:#x}, .{f['addr']}]" + deferred(f)


def _br_bit(f: dict[str, int]) -> str:
    register, constant = _register_and_constant(f, 0)
    return f"br_b{'set' if f['set'] else 'clr'}[{register}, {constant - 1}, .{f['addr']}]" + deferred(f)


def _br_alu(f: dict[str, int]) -> str:
    in_b = f["a"] >> 8 == 3
    register = unrestricted(f["b"], "B", f["src_lm"]) if in_b else unrestricted(f["a"], "A", f["src_lm"])
    offset = f["hi"] << 8 | (f["a"] if in_b else f["b"]) & 0xFF
    return (f"jump[{register}, .{offset}]" if offset else f"rtn[{register}]") + deferred(f)


def _mul_step(f: dict[str, int]) -> str:
    if f["step"] >= len(nfp.MUL_STEPS):
        raise MachineError(f"multiplication step {f['step']} does not exist")
    kind = nfp.MUL_TYPES[f["type"]] + (f"_{nfp.MUL_STEPS[f['step']]}" if f["type"] else "")
    if f["type"] and f["step"] >= 4:
        dst = "0x0" if f["a"] >> 8 == 3 else unrestricted(f["a"], destination(f), f["dst_lm"])
        return f"mul_step[{dst}, --], {kind}" + modifiers(f)
    left, right = unrestricted(f["a"], "A", f["src_lm"]), unrestricted(f["b"], "B", f["src_lm"])
    if f["sw"]:
        left, right = right, left
    return f"mul_step[{left}, {right}], {kind}" + modifiers(f)


def _cmd(f: dict[str, int]) -> str:
    action = f["target"] & 0x1F
    name = nfp.MEM_COMMANDS.get((action, f["token"], f["cnt"] >> 2 if 7 <= action <= 10 else 0))
    if f["target"] & 0x60 != nfp.MEM or name is None or f["mode"] not in (0, 1, 4, 5):
        raise MachineError(f"command {f['target']:#x} with token {f['token']} and mode {f['mode']} has no text")
    a, b = restricted(f["a"], "A", 0), restricted(f["b"], "B", 0)
    address = {0: f"{a}, <<8, {b}", 1: f"{b}, <<8, {a}", 4: f"{a}, {b}"}.get(f["mode"], f"{f['b'] << 8 | f['a']:#x}")
    text = f"mem[{name}, $xfer_{f['xfer']}, {address}, {f['cnt'] + 1}]" + (", indirect_ref" if f["indirect"] else "")
    if f["ctx"] == 3:
        return text + (f", sig_done[sig{f['sig']}]" if f["sig"] else "")
    return text + f", ctx_swap[sig{f['sig']}]" + (f", defer[{f['ctx']}]" if f["ctx"] else "")


TEXT: Final[dict[str, Callable[[dict[str, int]], str]]] = {
    "cmd": _cmd,
    "alu_shf": _alu_shf,
    "alu": _alu,
    "immed": _immed,
    "ld_field": _ld_field,
    "ctx_arb": _ctx_arb,
    "local_csr": _local_csr,
    "br": _br,
    "br_byte": _br_byte,
    "br_bit": _br_bit,
    "br_alu": _br_alu,
    "mul_step": _mul_step,
}


def disassemble(word: int) -> str:
    """One word as text; ECC and relocation bits are ignored.

    >>> disassemble(0x2f0000c0800)
    'immed[gprA_0, 0x2], gpr_wrboth'
    """
    row = nfp.format_of(word)
    return TEXT[row.name](row.unpack(word))
