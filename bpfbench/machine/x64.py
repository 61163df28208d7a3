"""x86-64: the instructions that Linux's eBPF JIT uses, as rows of the Intel manual.

Rows are written in the notation of `x86.py` and grouped as the manual groups them.  Families that differ in one opcode
bit pattern (arithmetic, shifts, conditions) are spelled once and expanded over a small table.  `ROWS` is in decoding
order; targets pick rows from the dictionaries below the table, by operation and width.

Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2.
"""

from __future__ import annotations

from typing import Final

from bpfbench.machine.pattern import Encoding, Kind, Machine, decimal, pc_relative
from bpfbench.machine.x86 import Form, as_u32, as_u64, displacement, registers, signed_hex

RAX: Final = 0
RCX: Final = 1
RDX: Final = 2
RBX: Final = 3
RSP: Final = 4
RBP: Final = 5
RSI: Final = 6
RDI: Final = 7
R8: Final = 8
R9: Final = 9
R10: Final = 10
R11: Final = 11
R12: Final = 12
R13: Final = 13
R14: Final = 14
R15: Final = 15

NAMES64: Final = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split()
KINDS: Final[dict[str, Kind]] = {
    "r64": registers(" ".join(NAMES64)),
    "r32": registers("eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d"),
    "r16": registers("ax cx dx bx sp bp si di r8w r9w r10w r11w r12w r13w r14w r15w"),
    "r8": registers("al cl dl bl spl bpl sil dil r8b r9b r10b r11b r12b r13b r14b r15b"),
    "d": displacement,
    "rel": pc_relative,
    "i": signed_hex,
    "u32": as_u32,
    "u64": as_u64,
    "n": decimal,
}

# --------------------------------------------------------------------------------------------------------- arithmetic
# name  opcode of "op r/m, r"   digit of "op r/m, imm"   opcode of "op eax, imm32"
_ALU: Final = [
    ("add", "01", 0, "05"),
    ("or",  "09", 1, "0D"),
    ("and", "21", 4, "25"),
    ("sub", "29", 5, "2D"),
    ("xor", "31", 6, "35"),
    ("cmp", "39", 7, "3D"),
]  # fmt: skip
_SHIFTS: Final = [("rol", 0), ("ror", 1), ("shl", 4), ("shr", 5), ("sar", 7)]
_WIDTHS: Final = [(32, "", "r32"), (64, "REX.W ", "r64")]
_CONDITIONS: Final = "o no b ae e ne be a s ns p np l ge le g".split()
_MEMORY: Final = "[{base:r64}{disp:d}]"
_INDEXED: Final = "[{base:r64} + {index:r64}{disp:d}]"


def _arithmetic() -> list[Form]:
    rows: list[Form] = []
    for bits, w, r in _WIDTHS:
        # logical operations print their immediates as bit patterns
        for name, opcode, digit, short in _ALU:
            how = ("u32" if bits == 32 else "u64") if name in ("and", "or", "xor") else "i" if bits == 64 else "i"
            rows += [
                Form(f"{name}_rr{bits}", f"{w}{opcode} /r", f"{name} {{rm:{r}}}, {{reg:{r}}}"),
                Form(f"{name}_rb{bits}", f"{w}83 /{digit} ib", f"{name} {{rm:{r}}}, {{imm:{how}}}"),
                Form(f"{name}_ai{bits}", f"{w}{short} id", f"{name} {'rax' if bits == 64 else 'eax'}, {{imm:{how}}}"),
                Form(f"{name}_ri{bits}", f"{w}81 /{digit} id", f"{name} {{rm:{r}}}, {{imm:{how}}}"),
            ]
        rows += [
            Form(f"test_rr{bits}", f"{w}85 /r", f"test {{rm:{r}}}, {{reg:{r}}}"),
            Form(f"test_ri{bits}", f"{w}F7 /0 id", f"test {{rm:{r}}}, {{imm:u{bits}}}"),
            Form(f"neg_r{bits}", f"{w}F7 /3", f"neg {{rm:{r}}}"),
            Form(f"div_r{bits}", f"{w}F7 /6", f"div {{rm:{r}}}"),
            Form(f"idiv_r{bits}", f"{w}F7 /7", f"idiv {{rm:{r}}}"),
            Form(f"imul_rr{bits}", f"{w}0F AF /r", f"imul {{reg:{r}}}, {{rm:{r}}}"),
            Form(f"imul_rb{bits}", f"{w}6B /r ib", f"imul {{reg:{r}}}, {{rm:{r}}}, {{imm:i}}"),
            Form(f"imul_ri{bits}", f"{w}69 /r id", f"imul {{reg:{r}}}, {{rm:{r}}}, {{imm:i}}"),
            Form(f"cmove_rr{bits}", f"{w}0F 44 /r", f"cmove {{reg:{r}}}, {{rm:{r}}}"),
            Form(f"bswap_r{bits}", f"{w}0F C8+r", f"bswap {{reg:{r}}}"),
        ]
        for name, digit in _SHIFTS:
            rows += [
                Form(f"{name}_r1{bits}", f"{w}D1 /{digit}", f"{name} {{rm:{r}}}, 1"),
                Form(f"{name}_ri{bits}", f"{w}C1 /{digit} ub", f"{name} {{rm:{r}}}, {{imm:i}}"),
                Form(f"{name}_rc{bits}", f"{w}D3 /{digit}", f"{name} {{rm:{r}}}, cl"),
            ]
        for name, prefix in (("shlx", "66"), ("shrx", "F2"), ("sarx", "F3")):
            spec = f"VEX.{prefix}.0F38.W{bits // 64} F7 /r"
            rows.append(Form(f"{name}{bits}", spec, f"{name} {{reg:{r}}}, {{rm:{r}}}, {{third:{r}}}"))
    rows += [
        Form("ror_ri16", "66 C1 /1 ub", "ror {rm:r16}, {imm:i}"),
        Form("cdq", "99", "cdq"),
        Form("cqo", "REX.W 99", "cqo"),
    ]
    return rows


# ------------------------------------------------------------------------------------------------ moves and memory
def _moves() -> list[Form]:
    rows: list[Form] = [
        Form("mov_rr64", "REX.W 89 /r", "mov {rm:r64}, {reg:r64}"),
        Form("mov_rr32", "89 /r", "mov {rm:r32}, {reg:r32}"),
        Form("mov_ri64s", "REX.W C7 /0 id", "mov {rm:r64}, {imm:u64}"),
        Form("mov_ri32", "B8+r ud", "mov {reg:r32}, {imm:i}"),
        Form("movabs", "REX.W B8+r uq", "movabs {reg:r64}, {imm:u64}"),
        Form("movsx_64_8", "REX.W 0F BE /r", "movsx {reg:r64}, {rm:r8}"),
        Form("movsx_64_16", "REX.W 0F BF /r", "movsx {reg:r64}, {rm:r16}"),
        Form("movsx_64_32", "REX.W 63 /r", "movsxd {reg:r64}, {rm:r32}"),
        Form("movsx_32_8", "REX 0F BE /r", "movsx {reg:r32}, {rm:r8}"),
        Form("movsx_32_16", "0F BF /r", "movsx {reg:r32}, {rm:r16}"),
        Form("movzx_32_16", "0F B7 /r", "movzx {reg:r32}, {rm:r16}"),
        Form("push", "50+r", "push {reg:r64}"),
        Form("pop", "58+r", "pop {reg:r64}"),
        Form("load_tcc64", "REX.W 8B /r disp32", f"mov {{reg:r64}}, qword ptr {_MEMORY}"),
        Form("load_tcc32", "8B /r disp32", f"mov {{reg:r32}}, dword ptr {_MEMORY}"),
        Form("store_tcc32", "89 /r disp32", f"mov dword ptr {_MEMORY}, {{reg:r32}}"),
        Form("load_entry", "REX.W 8B /r disp32", "mov {reg:r64}, qword ptr [{base:r64} + {index:r64}*8{disp:d}]"),
        Form("cmp_m_b64", "REX.W 83 /7 disp0 ib", "cmp qword ptr [{base:r64}], {imm:i}"),
        Form("add_m_b64", "REX.W 83 /0 disp0 ib", "add qword ptr [{base:r64}], {imm:i}"),
        Form("cmp_mr32", "39 /r disp", f"cmp dword ptr {_MEMORY}, {{reg:r32}}"),
        Form("add_r_gs64", "65 REX.W 03 /r abs32", "add {reg:r64}, qword ptr gs:[{disp:i}]"),
        Form("mov_r_gs64", "65 REX.W 8B /r abs32", "mov {reg:r64}, qword ptr gs:[{disp:i}]"),
    ]
    for suffix, at in (("", _MEMORY), ("_x", _INDEXED)):
        force = "REX " if suffix else ""             # the arena forms always carry a REX byte
        rows += [
            Form(f"load1{suffix}", f"{force or 'REX.W '}0F B6 /r disp", f"movzx {{reg:{'r32' if suffix else 'r64'}}}, byte ptr {at}"),
            Form(f"load2{suffix}", f"{force or 'REX.W '}0F B7 /r disp", f"movzx {{reg:{'r32' if suffix else 'r64'}}}, word ptr {at}"),
            Form(f"load4{suffix}", f"{force}8B /r disp", f"mov {{reg:r32}}, dword ptr {at}"),
            Form(f"load8{suffix}", "REX.W 8B /r disp", f"mov {{reg:r64}}, qword ptr {at}"),
            Form(f"loads1{suffix}", "REX.W 0F BE /r disp", f"movsx {{reg:r64}}, byte ptr {at}"),
            Form(f"loads2{suffix}", "REX.W 0F BF /r disp", f"movsx {{reg:r64}}, word ptr {at}"),
            Form(f"loads4{suffix}", "REX.W 63 /r disp", f"movsxd {{reg:r64}}, dword ptr {at}"),
            Form(f"store1{suffix}", f"{force}88 /r disp", f"mov byte ptr {at}, {{reg:r8}}"),
            Form(f"store2{suffix}", f"66 {force}89 /r disp", f"mov word ptr {at}, {{reg:r16}}"),
            Form(f"store4{suffix}", f"{force}89 /r disp", f"mov dword ptr {at}, {{reg:r32}}"),
            Form(f"store8{suffix}", "REX.W 89 /r disp", f"mov qword ptr {at}, {{reg:r64}}"),
            Form(f"storei1{suffix}", f"{force}C6 /0 disp ub", f"mov byte ptr {at}, {{imm:i}}"),
            Form(f"storei2{suffix}", f"66 {force}C7 /0 disp uw", f"mov word ptr {at}, {{imm:i}}"),
            Form(f"storei4{suffix}", f"{force}C7 /0 disp ud", f"mov dword ptr {at}, {{imm:i}}"),
            Form(f"storei8{suffix}", "REX.W C7 /0 disp id", f"mov qword ptr {at}, {{imm:u64}}"),
        ]
        for bits, w, r in _WIDTHS:
            size = "dword" if bits == 32 else "qword"
            prefix = "F0 " + (w or force)
            for name, opcode in (("add", "01"), ("or", "09"), ("and", "21"), ("xor", "31"), ("xadd", "0F C1"),
                                 ("xchg", "87"), ("cmpxchg", "0F B1")):  # fmt: skip
                text = f"lock {name} {size} ptr {at}, {{reg:{r}}}"
                rows.append(Form(f"lock_{name}{bits}{suffix}", f"{prefix}{opcode} /r disp", text))
    return rows


# ---------------------------------------------------------------------------------------------- control flow and rest
_CONTROL: Final = [
    Form("call", "E8 cd", "call {rel:rel}"),
    Form("jmp8", "EB cb", "jmp {rel:rel}"),
    Form("jmp32", "E9 cd", "jmp {rel:rel}"),
    Form("jmp_r", "FF /4", "jmp {rm:r64}"),
    Form("call_r", "FF /2", "call {rm:r64}"),
    Form("ret", "C3", "ret"),
    Form("leave", "C9", "leave"),
    Form("int3", "CC", "int3"),
    Form("lfence", "0F AE E8", "lfence"),
    Form("endbr64", "F3 0F 1E FA", "endbr64"),
    Form("nop1", "90", "nop"),
    Form("nop2", "66 90", "nop"),
    Form("nop3", "0F 1F 00", "nop dword ptr [rax]"),
    Form("nop4", "0F 1F 40 00", "nop dword ptr [rax]"),
    Form("nop5", "0F 1F 44 00 00", "nop dword ptr [rax + rax]"),
]  # fmt: skip


def _branches() -> list[Form]:
    rows: list[Form] = []
    for code, name in enumerate(_CONDITIONS):
        rows.append(Form(f"j{name}8", f"{0x70 + code:02X} cb", f"j{name} {{rel:rel}}"))
        rows.append(Form(f"j{name}32", f"0F {0x80 + code:02X} cd", f"j{name} {{rel:rel}}"))
    return rows


FORMS: Final[list[Form]] = _arithmetic() + _moves() + _CONTROL + _branches()
ROWS: Final[list[Encoding]] = list(FORMS)
X64: Final = Machine("x86-64", ROWS, KINDS, 1)

# ------------------------------------------------------------------------------------------- rows by what they are for
R: Final[dict[str, Encoding]] = X64.by_name


def both(stem: str) -> tuple[Encoding, Encoding]:
    """(32-bit row, 64-bit row), so that `rows[wide]` picks."""
    return R[f"{stem}32"], R[f"{stem}64"]


NOPS: Final[list[Encoding]] = [R["nop1"], R["nop1"], R["nop2"], R["nop3"], R["nop4"], R["nop5"]]
JCC8: Final[dict[str, Encoding]] = {name: R[f"j{name}8"] for name in _CONDITIONS}
JCC32: Final[dict[str, Encoding]] = {name: R[f"j{name}32"] for name in _CONDITIONS}
