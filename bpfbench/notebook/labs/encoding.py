"""The laboratory of the encoding: one instruction as its 64 bits, each of which can be flipped.

    byte 0        byte 1             bytes 2-3    bytes 4-7
    code          src | dst          off          imm            (slide 14; RFC 9669 section 3)

Flip a bit and see what the instruction has become, which field it is in, and what is wrong with it when it is none any
more; or write an instruction and see its bits.
"""

from __future__ import annotations

from typing import Any

from bpfbench.errors import NotebookError
from bpfbench.isa import ops
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn, parse_insn
from bpfbench.notebook.labs.lab import Lab, Part, bits, field, say, table

CLASSES = ("LD", "LDX", "ST", "STX", "ALU", "JMP", "JMP32", "ALU64")


class EncodingLab(Lab):
    """See the module text; `inputs`: slot (16 hex digits), next (the second slot of a wide load), text."""

    title = "The encoding of an instruction"
    help = "Tab to a field, arrow keys move between bits, Space or Enter flips one."

    def change(self, name: str, value: Any) -> None:
        if name == "text":
            insn, _ = parse_insn(str(value))
            raw = encode([insn])
            self.inputs.update(text=str(value), slot=raw[:8].hex(), next=raw[8:16].hex() or "00" * 8)
            return
        if name in _FIELDS:
            first, width = _FIELDS[name]
            number = int.from_bytes(bytes.fromhex(self.inputs["slot"]), "little") ^ 1 << (first + width - 1 - int(value))
            self.inputs["slot"] = number.to_bytes(8, "little").hex()
            self.inputs["text"] = format_insn(self.insn()) if not self.insn().flaw else ""

    def insn(self) -> Instruction:
        """The instruction that the bits are (with a flaw, when they are none)."""
        raw = bytes.fromhex(self.inputs["slot"])
        wide = raw[0] == 0x18
        found = decode(raw + bytes.fromhex(self.inputs["next"]) if wide else raw, strict=False)[0]
        assert found is not None
        return found

    def inputs_only(self) -> list[Part]:
        return [field("text", "instruction", self.inputs["text"])]

    def parts(self) -> list[Part]:
        insn = self.insn()
        raw = bytes.fromhex(self.inputs["slot"])
        number = int.from_bytes(raw, "little")
        code, dst, src, off, imm = raw[0], raw[1] & 15, raw[1] >> 4, *_signed(raw)
        shown: list[Part] = []
        for name, (first, width) in _FIELDS.items():
            cells = format(number >> first & (1 << width) - 1, f"0{width}b")
            hints = [f"{name} bit {width - 1 - i}" for i in range(width)]
            shown.append(bits(name, f"{_TITLES[name]}: {cells} = {int(cells, 2):#x}", cells, True, hints,
                              [i for i in range(1, width) if (width - i) % 8 == 0] if width > 8 else
                              [4, 5] if name == "code" else []))
        return [
            *self.inputs_only(), *shown,
            table("fields", ["field", "value", "meaning"], [
                ["code", f"{code:#04x}", _code_words(code)],
                ["dst", str(dst), f"r{dst}" if dst <= 10 else "there is no such register"],
                ["src", str(src), _src_words(insn, src)],
                ["off", str(off), "jump distance, memory offset, or selector" if off else "zero"],
                ["imm", str(imm), f"{imm & 0xFFFFFFFF:#x}"],
                ["bytes", raw.hex(" "), "little-endian, in this order in memory"],
            ]),
            say(f"kernel: {format_insn(insn)}") if not insn.flaw else say(f"No instruction: {insn.flaw}", "bad"),
            say(f"LLVM: {format_insn(insn, 'llvm')}; operation {insn.op.name}, {insn.op.meaning or 'see the manual'}"
                if not insn.flaw else f"The nearest operation is {insn.op.name}."),
        ]

    def says(self) -> str:
        insn = self.insn()
        return f"{bytes.fromhex(self.inputs['slot']).hex(' ')}: {insn.flaw or format_insn(insn)}"


# field -> first bit of the little-endian 64-bit number, width; most significant byte of the slot's number last
_FIELDS = {"code": (0, 8), "src": (12, 4), "dst": (8, 4), "off": (16, 16), "imm": (32, 32)}
_TITLES = {"code": "byte 0, the operation", "src": "byte 1, upper half, source register", "imm": "bytes 4-7, immediate",
           "dst": "byte 1, lower half, destination register", "off": "bytes 2-3, offset"}  # fmt: skip


def encoding_lab(text: str = "r1 += 8") -> EncodingLab:
    """The laboratory with one instruction, as text or as 16 hex digits.

    >>> encoding_lab("r0 = *(u32 *)(r1 +4)")
    EncodingLab(61 10 04 00 00 00 00 00: r0 = *(u32 *)(r1 +4))
    >>> encoding_lab("ff00000000000000")
    EncodingLab(ff 00 00 00 00 00 00 00: unknown opcode ff)
    """
    lab = EncodingLab(slot="95" + "00" * 7, next="00" * 8, text="exit")
    if len(text) == 16 and not set(text.lower()) - set("0123456789abcdef"):
        lab.inputs.update(slot=text.lower(), text="")
    else:
        try:
            lab.change("text", text)
        except Exception as error:
            raise NotebookError(f"'{text}' is no instruction") from error
    lab.refresh()
    return lab


def _signed(raw: bytes) -> tuple[int, int]:
    return int.from_bytes(raw[2:4], "little", signed=True), int.from_bytes(raw[4:8], "little", signed=True)


def _code_words(code: int) -> str:
    kind = CLASSES[code & 7]
    if kind in ("ALU", "ALU64", "JMP", "JMP32"):
        return f"class {kind}, source {'register' if code & 8 else 'immediate'}, operation {code >> 4:#x}"
    return f"class {kind}, size {('W', 'H', 'B', 'DW')[code >> 3 & 3]}, mode {code >> 5:#x}"


def _src_words(insn: Instruction, src: int) -> str:
    if insn.op.selector[0] == "src":
        return f"selects the operation {insn.op.name}"
    if insn.kind == ops.LDDW:
        return "what the constant is: 0 number, 1 map, 2 map value, …"
    return f"r{src}" if src <= 10 else "there is no such register"


