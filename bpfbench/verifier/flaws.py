"""Instructions that are not well formed: the kernel finds out when it walks over them.

The codec keeps such an instruction with its wire fields; here the kernel's order of checks is followed until one fails.

Source: kernel/bpf/verifier.c `do_check_insn`, `check_alu_op`, `check_cond_jmp_op`, `check_ld_imm`; slide 18.
"""

from __future__ import annotations

from bpfbench.errors import VerifierError, Where
from bpfbench.verifier.checks import LDDW, Slot
from bpfbench.verifier.walk import EINVAL, Walk


def refuse_flawed(w: Walk, slot: Slot) -> None:
    """Say what is wrong with the instruction at the current pc."""
    op, dst, src, off, imm = slot
    cls = op & 7
    if cls in (4, 7):
        _alu(w, op, dst, src, off, imm)
    elif cls == 1:
        w.read(src)
        w.writable(dst)
    elif cls == 3:
        _stx(w, op, dst, src, off, imm)
    elif cls == 2:
        if op & 0xE0 != 0x60 or src:
            raise w.refuse("BPF_ST uses reserved fields", EINVAL)
        w.read(dst)
    elif cls in (5, 6):
        _jmp(w, op, dst, src, off, imm)
    else:
        _ld(w, op, dst, src, off)
    raise VerifierError("not supported: instruction that neither the codec nor the verifier understands", Where(pc=w.pc))


def _alu(w: Walk, op: int, dst: int, src: int, off: int, imm: int) -> None:
    fn, x = op & 0xF0, op & 8
    wide = op & 7 == 7
    if fn == 0x80:
        if x or src or off or imm:
            raise w.refuse("BPF_NEG uses reserved fields", EINVAL)
        w.read(dst)
    elif fn == 0xD0:
        if src or off or imm not in (16, 32, 64) or (wide and (x or not w.k.movsx)):
            raise w.refuse("BPF_END uses reserved fields", EINVAL)
        w.read(dst)
    elif fn == 0xB0:
        if x:
            _mov_x(w, wide, off, imm)
            w.read(src)
        elif src or off:
            raise w.refuse("BPF_MOV uses reserved fields", EINVAL)
        w.writable(dst)
    elif fn > 0xD0:
        raise w.refuse(f"invalid BPF_ALU opcode {fn:x}", EINVAL)
    else:
        signed_ok = w.k.movsx and fn in (0x30, 0x90)
        if off not in ((0, 1) if signed_ok else (0,)) or (x and imm) or (not x and src):
            raise w.refuse("BPF_ALU uses reserved fields", EINVAL)
        if x:
            w.read(src)
        w.read(dst)
        w.writable(dst)


def _mov_x(w: Walk, wide: bool, off: int, imm: int) -> None:
    if wide and off == 1 and w.k.version >= (6, 9):
        if imm not in (1, 1 << 16):
            raise w.refuse("addr_space_cast insn can only convert between address space 1 and 0", EINVAL)
        raise w.refuse("addr_space_cast insn can only be used in a program that has an associated arena", EINVAL)
    allowed = (0,) if not w.k.movsx else (0, 8, 16, 32) if wide else (0, 8, 16)
    if off not in allowed or imm:
        raise w.refuse("BPF_MOV uses reserved fields", EINVAL)


def _stx(w: Walk, op: int, dst: int, src: int, off: int, imm: int) -> None:
    if op & 0xE0 == 0xC0 and w.k.version < (5, 12):
        raise w.refuse("BPF_XADD uses reserved fields", EINVAL)
    if op & 0xE0 == 0xC0:
        atomics = (0, 1, 0x40, 0x41, 0x50, 0x51, 0xA0, 0xA1, 0xE1, 0xF1)
        if imm not in atomics and not (imm in (0x100, 0x110) and w.k.load_acquire):
            raise w.refuse(f"BPF_ATOMIC uses invalid atomic opcode {imm & 0xFFFFFFFF:02x}", EINVAL)
        if imm in atomics and op & 0x18 not in (0x00, 0x18):
            raise w.refuse("invalid atomic operand size", EINVAL)
    elif op & 0xE0 != 0x60 or imm:
        raise w.refuse("BPF_STX uses reserved fields", EINVAL)
    w.read(src)
    w.read(dst)


def _jmp(w: Walk, op: int, dst: int, src: int, off: int, imm: int) -> None:
    fn, x = op & 0xF0, op & 8
    short = op & 7 == 5
    if fn == 0x80:
        if x or (src != 2 and off) or src > 2 or dst or not short:
            raise w.refuse("BPF_CALL uses reserved fields", EINVAL)
    elif fn == 0x00:
        long_ok = w.k.version >= (6, 6)
        if x or src or dst or (short and imm) or (not short and (off if long_ok else True)):
            raise w.refuse("BPF_JA uses reserved fields", EINVAL)
    elif fn == 0x90:
        if x or imm or src or dst or not short:
            raise w.refuse("BPF_EXIT uses reserved fields", EINVAL)
    elif fn == 0xE0 and w.k.may_goto:
        where = f"imm {imm}" if w.k.version >= (6, 15) else f"off {off} imm {imm}"
        raise w.refuse(f"invalid may_goto {where}", EINVAL)
    elif fn > 0xD0:
        raise w.refuse(f"invalid BPF_JMP/JMP32 opcode {fn:x}", EINVAL)
    else:
        if w.k.version >= (6, 8):
            w.read(dst)
        if (imm if x else src):
            raise w.refuse("BPF_JMP/JMP32 uses reserved fields", EINVAL)
        if x:
            w.read(src)
        w.read(dst)


def _ld(w: Walk, op: int, dst: int, src: int, off: int) -> None:
    if op == LDDW:
        if off:
            raise w.refuse("BPF_LD_IMM64 uses reserved fields", EINVAL)
        w.writable(dst)
    elif op & 0xE0 in (0x20, 0x40):
        from bpfbench.verifier import progtypes

        row = progtypes.prog_type(w.prog.type)
        if row is None or not row.ld_abs:
            raise w.refuse("BPF_LD_[ABS|IND] instructions not allowed for this program type", EINVAL)
        raise w.refuse("BPF_LD_[ABS|IND] uses reserved fields", EINVAL)
    else:
        raise w.refuse("invalid BPF_LD mode", EINVAL)
