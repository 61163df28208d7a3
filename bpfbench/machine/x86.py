"""The encoding of x86-64 instructions: prefixes, opcode, ModRM, SIB, displacement, immediate.

    +--------+-----+--------+-------+-----+--------------+-----------+
    | 66 F0  | REX | opcode | ModRM | SIB | displacement | immediate |      all but the opcode optional
    +--------+-----+--------+-------+-----+--------------+-----------+
               0100WRXB       mod reg rm

A row is written as the Intel manual (volume 2) prints it, next to Intel syntax:

    Form("add_ri32", "REX.W 81 /0 id", "add {rm:r64}, {imm}")

| token            | meaning                                                                  |
|------------------|--------------------------------------------------------------------------|
| `66` `F0` `65`   | a legacy prefix (before REX)                                             |
| `REX.W` `REX`    | 64-bit operation; a REX byte even where no bit of it is needed           |
| `VEX.pp.map.W`   | three-byte VEX prefix, e.g. `VEX.F2.0F38.W1`                             |
| `0F` `C8+r`      | opcode bytes; the last with a register in its low three bits             |
| `/r` `/5`        | ModRM with a register operand, or with an extension of the opcode        |
| `disp`           | displacement of 8 bits if it fits, else 32; `disp32`, `disp0` fix it     |
| `abs32`          | a 32-bit address instead of a base register                              |
| `ib ub iw id`... | immediate: i signed, u unsigned; b w d q for 1 2 4 8 bytes               |
| `cb` `cd`        | jump distance from the end of the instruction, 8 or 32 bits              |

Operands are named in the syntax: `reg` and `rm` registers, `base`, `index` (scaled by 8 with `*8`) and `disp` of
memory, `imm`, `rel`, and `third` for VEX.  REX bits for r8..r15, and the bare REX that spl bpl sil dil need, follow
from the operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from bpfbench.bits import sext
from bpfbench.machine.pattern import Encoding, Kind

_IMMEDIATE: Final = {"b": 1, "w": 2, "d": 4, "q": 8}
_LEGACY: Final = ("66", "F0", "F2", "F3", "65", "2E")
_PP: Final = {"NP": 0, "66": 1, "F3": 2, "F2": 3}
_MAP: Final = {"0F": 1, "0F38": 2, "0F3A": 3}
RSP: Final = 4
RBP: Final = 5


@final
class Form(Encoding):
    """One x86-64 instruction form.

    >>> add = Form("add", "REX.W 01 /r", "add {rm:r64}, {reg:r64}")
    >>> add.encode([0, 9]).hex(" "), add.decode_at(bytes.fromhex("4c01c8"), 0)
    ('4c 01 c8', [0, 9])
    """

    __slots__ = (
        "spec", "prefixes", "rex_w", "rex_always", "vex", "opcode", "plus_r", "modrm", "extension", "displacement",
        "imm_size", "imm_signed", "rel_size", "slot", "scale", "byte_operands", "limits", "places",
    )  # fmt: skip

    def __init__(self, name: str, spec: str, syntax: str) -> None:
        super().__init__(name, syntax, 0)
        self.spec = spec
        self.prefixes = b""
        self.rex_w = False
        self.rex_always = False
        self.vex: list[int] = []                 # pp, map, W
        self.opcode = b""
        self.plus_r = False
        self.modrm = False
        self.extension = -1
        self.displacement = ""                   # "", "disp", "disp0", "disp32", "abs32"
        self.imm_size = 0
        self.imm_signed = False
        self.rel_size = 0
        self.slot: dict[str, int] = {operand: i for i, operand in enumerate(self.names)}
        self.scale = 3 if "*8" in syntax else 0
        self.byte_operands: list[int] = [i for i, kind in enumerate(self.kinds) if kind == "r8"]
        for token in spec.split():
            self.read(token)
        self.size = self.fixed_size()
        self.limits: list[tuple[int, int, int]] = [self.range(i) for i in range(len(self.names))]
        self.places: list[int] = [self.slot.get(name, -1) for name in ("reg", "rm", "base", "index")]

    def read(self, token: str) -> None:
        """Take one token of the row."""
        if token in _LEGACY and not self.opcode and not self.rex_w:
            self.prefixes += bytes.fromhex(token)
        elif token == "REX.W":
            self.rex_w = True
        elif token == "REX":
            self.rex_always = True
        elif token.startswith("VEX."):
            _, pp, table, w = token.split(".")
            self.vex = [_PP[pp], _MAP[table], int(w[1])]
        elif token.startswith("/"):
            self.modrm = True
            self.extension = -1 if token == "/r" else int(token[1])
        elif token in ("disp", "disp0", "disp32", "abs32"):
            self.displacement = token
        elif token[0] in "iu" and token[1:] in _IMMEDIATE:
            self.imm_size, self.imm_signed = _IMMEDIATE[token[1:]], token[0] == "i"
        elif token in ("cb", "cd"):
            self.rel_size = 1 if token == "cb" else 4
        elif token.endswith("+r"):
            self.plus_r = True
            self.opcode += bytes.fromhex(token[:2])
        else:
            self.opcode += bytes.fromhex(token)

    def fixed_size(self) -> int:
        """Length, if no operand can change it: only forms without registers that REX, SIB or displacement depend on."""
        if not any(r in self.slot for r in ("reg", "rm", "base", "index")):
            return len(self.prefixes) + int(self.rex_w or self.rex_always) + len(self.opcode) + (
                (1 if self.modrm else 0) + (5 if self.displacement == "abs32" else 0) + self.imm_size + self.rel_size
            )  # fmt: skip
        return 0

    # ------------------------------------------------------------------------------------------------------- encoding
    def encode(self, operands: Sequence[int]) -> bytes:
        self.arity(operands)
        for i, value in enumerate(operands):
            lo, hi, _ = self.limits[i]
            if value < lo or value > hi:
                raise self.misfit(i, value)
        reg_at, rm_at, base_at, index_at = self.places
        reg = operands[reg_at] if reg_at >= 0 else 0
        rm = operands[rm_at] if rm_at >= 0 else 0
        base = operands[base_at] if base_at >= 0 else 0
        index = operands[index_at] if index_at >= 0 else 0
        b = (reg if self.plus_r else rm if rm_at >= 0 else base) >> 3
        r = 0 if self.plus_r else reg >> 3
        out = bytearray(self.prefixes)
        if self.vex:
            pp, table, w = self.vex
            third = self.operand(operands, "third")
            out += bytes([0xC4, (1 - r) << 7 | 1 << 6 | (1 - b) << 5 | table, w << 7 | (15 - third) << 3 | pp])
        else:
            rex = self.rex_w << 3 | r << 2 | index >> 3 << 1 | b
            bare = self.rex_always
            for i in self.byte_operands:
                bare = bare or 4 <= operands[i] <= 7
            if rex or bare:
                out.append(0x40 | rex)
        out += self.opcode
        if self.plus_r:
            out[-1] |= reg & 7
        if self.modrm:
            field = (reg if self.extension < 0 else self.extension) & 7
            self.address(out, field, rm, base, index, operands)
        if self.imm_size:
            value = operands[self.slot["imm"]]
            out += (value & ((1 << 8 * self.imm_size) - 1)).to_bytes(self.imm_size, "little")
        if self.rel_size:
            out += operands[self.slot["rel"]].to_bytes(self.rel_size, "little", signed=True)
        return bytes(out)

    def operand(self, operands: Sequence[int], name: str) -> int:
        return operands[self.slot[name]] if name in self.slot else 0

    def address(self, out: bytearray, field: int, rm: int, base: int, index: int, operands: Sequence[int]) -> None:
        """ModRM and what follows from it."""
        if not self.displacement:
            out.append(0xC0 | field << 3 | rm & 7)
            return
        disp = self.operand(operands, "disp")
        if self.displacement == "abs32":
            out += bytes([field << 3 | 4, 0x25]) + disp.to_bytes(4, "little", signed=True)
            return
        mode = 0 if self.displacement == "disp0" else 2
        if self.displacement == "disp" and -128 <= disp <= 127:
            mode = 1
        if "index" in self.slot:
            out += bytes([mode << 6 | field << 3 | 4, self.scale << 6 | (index & 7) << 3 | base & 7])
        elif base & 7 == RSP:
            out += bytes([mode << 6 | field << 3 | 4, 0x24])
        else:
            out.append(mode << 6 | field << 3 | base & 7)
        if mode:
            out += disp.to_bytes(1 if mode == 1 else 4, "little", signed=True)

    def range(self, index: int) -> tuple[int, int, int]:
        name = self.names[index]
        if name == "disp":
            return (0, 0, 1) if self.displacement == "disp0" else (-(1 << 31), (1 << 31) - 1, 1)
        if name == "imm":
            bits = 8 * self.imm_size
            return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1, 1) if self.imm_signed else (0, (1 << bits) - 1, 1)
        if name == "rel":
            bits = 8 * self.rel_size
            return -(1 << (bits - 1)), (1 << (bits - 1)) - 1, 1
        return 0, 15, 1

    def text(self, operands: Sequence[int], kinds: dict[str, Kind], addr: int = 0) -> str:
        """Jump distances count from the end of the instruction, so that is where their text counts from."""
        return super().text(operands, kinds, addr + self.size if self.rel_size else addr)

    # ------------------------------------------------------------------------------------------------------- decoding
    def may_have(self, index: int, byte: int) -> bool:
        if index:
            return True
        if self.prefixes:
            return byte == self.prefixes[0]
        if self.vex:
            return byte == 0xC4
        if 0x40 <= byte <= 0x4F:
            return True
        first = self.opcode[0]
        return byte & 0xF8 == first if self.plus_r and len(self.opcode) == 1 else byte == first

    def decode_at(self, code: bytes, at: int) -> list[int] | None:
        found = self.parse(code, at)
        return found[0] if found is not None else None

    def length_at(self, code: bytes, at: int) -> int:
        found = self.parse(code, at)
        return found[1] - at if found is not None else 0

    def parse(self, code: bytes, at: int) -> tuple[list[int], int] | None:
        """Operands and the end of the instruction, if this form starts at `at` and its encoding is the one we write."""
        start = at
        values: dict[str, int] = {}
        if code[at : at + len(self.prefixes)] != self.prefixes:
            return None
        at += len(self.prefixes)
        rex = 0
        if self.vex:
            if code[at : at + 1] != b"\xc4" or at + 3 > len(code):
                return None
            b1, b2 = code[at + 1], code[at + 2]
            if b1 & 0x1F != self.vex[1] or b2 & 3 != self.vex[0] or b2 >> 7 != self.vex[2] or b2 & 4:
                return None
            rex = (b1 ^ 0xE0) >> 5
            values["third"] = 15 - (b2 >> 3 & 15)
            at += 3
        elif at < len(code) and code[at] & 0xF0 == 0x40:
            rex = code[at] & 15
            at += 1
            if bool(rex & 8) != self.rex_w:
                return None
        elif self.rex_w or self.rex_always:
            return None
        at = self.match_opcode(code, at, rex, values)
        if at < 0:
            return None
        if self.modrm:
            at = self.parse_address(code, at, rex, values)
            if at < 0:
                return None
        for name, size, signed in (("imm", self.imm_size, self.imm_signed), ("rel", self.rel_size, True)):
            if size:
                if at + size > len(code):
                    return None
                values[name] = int.from_bytes(code[at : at + size], "little", signed=signed)
                at += size
        operands = [values.get(name, 0) for name in self.names]
        # Several encodings may say the same (disp8 or disp32, a useless REX); rows read exactly what they write.
        return (operands, at) if self.encode(operands) == code[start:at] else None

    def match_opcode(self, code: bytes, at: int, rex: int, values: dict[str, int]) -> int:
        end = at + len(self.opcode)
        found = code[at:end]
        if self.plus_r:
            if len(found) != len(self.opcode) or found[:-1] != self.opcode[:-1] or found[-1] & 0xF8 != self.opcode[-1]:
                return -1
            values["reg"] = found[-1] & 7 | (rex & 1) << 3
        elif found != self.opcode:
            return -1
        return end

    def parse_address(self, code: bytes, at: int, rex: int, values: dict[str, int]) -> int:
        if at >= len(code):
            return -1
        modrm = code[at]
        at += 1
        mode, field, low = modrm >> 6, modrm >> 3 & 7, modrm & 7
        if self.extension < 0:
            values["reg"] = field | (rex & 4) << 1
        elif field != self.extension:
            return -1
        if not self.displacement:
            values["rm"] = low | (rex & 1) << 3
            return at if mode == 3 else -1
        if mode == 3:
            return -1
        if low == 4:
            if at >= len(code):
                return -1
            sib = code[at]
            at += 1
            values["base"] = sib & 7 | (rex & 1) << 3
            values["index"] = sib >> 3 & 7 | (rex & 2) << 2
        else:
            values["base"] = low | (rex & 1) << 3
        size = 4 if self.displacement == "abs32" else (0, 1, 4)[mode]
        if at + size > len(code):
            return -1
        values["disp"] = int.from_bytes(code[at : at + size], "little", signed=True)
        return at + size


def registers(names: str) -> Kind:
    """A register file from its names."""
    listed: Kind = names.split()
    return listed


def displacement(value: int, addr: int) -> str:
    """The signed end of `[base + disp]`; nothing for 0."""
    if value == 0:
        return ""
    amount = abs(value)
    return f" {'-' if value < 0 else '+'} {amount if amount < 10 else hex(amount)}"


def signed_hex(value: int, addr: int) -> str:
    return ("-" if value < 0 else "") + (str(abs(value)) if abs(value) < 10 else hex(abs(value)))


def as_u32(value: int, addr: int) -> str:
    return signed_hex(value & 0xFFFF_FFFF, addr)


def as_u64(value: int, addr: int) -> str:
    return signed_hex(sext(value, 64) & 0xFFFF_FFFF_FFFF_FFFF, addr)

