"""The code sections of an object as text, laid out as `llvm-objdump -d` lays them out.

    0000000000000000 <xdp_firewall>:
           0:	61 16 04 00 00 00 00 00	w6 = *(u32 *)(r1 + 0x4)
           4:	bd 67 0c 00 00 00 00 00	if r7 <= r6 goto +0xc <xdp_firewall+0x88>

Slots are numbered from the start of the section, and a jump shows the symbol it lands behind.
"""

from __future__ import annotations

from bpfbench.elf.object import CodeSection
from bpfbench.isa import ops
from bpfbench.isa.codec import SLOT, decode, encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn


def code_listing(section: CodeSection, big_endian: bool = False, notation: str = "llvm") -> str:
    """All functions of one section; instructions that do not decode read `<unknown>`."""
    whole = section.raw[: len(section.raw) // SLOT * SLOT]
    insns = decode(whole, big_endian, strict=False)
    lines: list[str] = []
    for pc, insn in enumerate(insns):
        if pc * SLOT in section.symbols:
            lines.append(f"\n{pc * SLOT:016x} <{section.symbols[pc * SLOT]}>:")
        if insn is None:
            continue
        text = "<unknown>" if insn.flaw else format_insn(insn, notation)
        raw = encode([insn], big_endian)
        lines.append(f"{pc:8}:\t{raw.hex(' ')}\t{text}{_landing(section, pc, insn)}")
    return "\n".join(lines) + "\n"


def _landing(section: CodeSection, pc: int, insn: Instruction) -> str:
    """` <symbol+0x88>` for a jump inside the section."""
    if insn.kind not in (ops.JMP, ops.JMP32, ops.JA, ops.MAY_GOTO) or insn.flaw:
        return ""
    target = (pc + 1 + insn.jump) * SLOT
    before = [at for at in section.symbols if at <= target]
    if not before or not 0 <= target <= len(section.raw):
        return ""
    base = max(before)
    return f" <{section.symbols[base]}{f'+{target - base:#x}' if target > base else ''}>"
