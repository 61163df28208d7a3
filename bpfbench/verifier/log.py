"""The kernel's log, line by line.

`Log` writes what `bpf(2)` hands back at log level 1 (the path that failed) or 2 (every instruction on every path, with
the state after it), in the words of the kernel that is being modelled.  A state appears behind the instruction that
produced it, in a column of its own:

    3: (0f) r1 += r2                      ; R1=map_value(ks=4,vs=16,off=4) R2=4

Forms differ between kernels (`Features.log_gen`): 0 = 6.1, 1 = 6.8 on, 2 = 6.18, where liveness marks are gone.

Sources: kernel/bpf/log.c `print_reg_state`, `print_verifier_state`, `print_insn_state`; kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, Scalar, s64
from bpfbench.verifier.state import DYN, ITER, SPILL, TYPE_CHARS, Frame, Slot, State

STATE_COLUMN: Final = 40


def unsigned_text(n: int) -> str:
    return str(n) if n <= 0xFFFF else f"{n:#x}"


def signed_text(n: int) -> str:
    return str(n) if -32768 <= n <= 32767 else f"{n & U64_MAX:#x}"


def tnum_text(v: int, m: int, gen: int = 2) -> str:
    if m == 0 and gen:
        return unsigned_text(v)
    return f"({_hex(v)}; {_hex(m)})"


def _hex(n: int) -> str:
    return f"{n:#x}" if n else "0x0"


def ranges_text(s: Scalar, gen: int = 2) -> str:
    """Ranges and bits of a number that is not a constant, leaving out what says nothing."""
    return ",".join(_ranges(s) if gen else _ranges_61(s))


def _ranges(s: Scalar) -> list[str]:
    rows = [
        ("smin", s.smin, s.smin == S64_MIN), ("smax", s.smax, s.smax == S64_MAX),
        ("umin", s.umin, s.umin == 0), ("umax", s.umax, s.umax == U64_MAX),
        ("smin32", s.s32min if -32768 <= s.s32min <= 32767 else s.s32min & U32_MAX, s.s32min == S32_MIN),
        ("smax32", s.s32max if -32768 <= s.s32max <= 32767 else s.s32max & U32_MAX, s.s32max == S32_MAX),
        ("umin32", s.u32min, s.u32min == 0), ("umax32", s.u32max, s.u32max == U32_MAX),
    ]
    out: list[str] = []
    done = [r[2] for r in rows]
    for i, (name, value, _) in enumerate(rows):
        if done[i]:
            continue
        text = name + "="
        for j in range(i + 2, 8, 2):
            other, same, _ = rows[j]
            if done[j] or (same & U64_MAX) != (value & U64_MAX):
                continue
            if (name[0] == "s" and s64(value) < 0) != (other[0] == "s" and s64(same) < 0):
                continue
            done[j] = True
            text += other + "="
        out.append(text + (signed_text(s64(value)) if name[0] == "s" else unsigned_text(value & U64_MAX)))
    if s.m != U64_MAX:
        out.append("var_off=" + tnum_text(s.v, s.m))
    return out


def _ranges_61(s: Scalar) -> list[str]:
    out: list[str] = []
    if s.smin & U64_MAX != s.umin and s.smin != S64_MIN:
        out.append(f"smin={s.smin}")
    if s.smax & U64_MAX != s.umax and s.smax != S64_MAX:
        out.append(f"smax={s.smax}")
    if s.umin != 0:
        out.append(f"umin={s.umin}")
    if s.umax != U64_MAX:
        out.append(f"umax={s.umax}")
    if s.m != U64_MAX:
        out.append("var_off=" + tnum_text(s.v, s.m, 0))
    if s.s32min != s.smin and s.s32min != S32_MIN:
        out.append(f"s32_min={s.s32min}")
    if s.s32max != s.smax and s.s32max != S32_MAX:
        out.append(f"s32_max={s.s32max}")
    if s.u32min != s.umin and s.u32min != 0:
        out.append(f"u32_min={_signed32(s.u32min)}")
    if s.u32max != s.umax and s.u32max != U32_MAX:
        out.append(f"u32_max={_signed32(s.u32max)}")
    return out


def _signed32(n: int) -> int:
    return n - (1 << 32) if n > S32_MAX else n


def register_text(r: rs.RegState, frame: int, gen: int = 2) -> str:
    """A register's state as the log shows it, e.g. `map_value(ks=4,vs=16,off=4)`."""
    if gen == 0:
        return _register_61(r, frame)
    kind, s = r.kind, r.scalar
    base = kind & rs.BASE
    if kind == rs.SCALAR and s.m == 0:
        return ("P" if r.precise else "") + signed_text(s64(s.v))
    text = ("P" if kind == rs.SCALAR and r.precise else "") + rs.kind_text(kind)
    if kind == rs.ARENA:
        return text
    if kind == rs.STACK:
        if frame != r.frame:
            text += f"[{r.frame}]"
        if s.m == 0:
            return text + signed_text(s64(s.v + r.off))
    if base == rs.BTF_ID:
        text += r.struct
    return text + "(" + ",".join(_details(r, kind, base, s)) + ")"


def _details(r: rs.RegState, kind: int, base: int, s: Scalar) -> list[str]:
    out: list[str] = []
    if r.id:
        out.append(f"id={r.id & ~rs.ADD_CONST}" + (f"{r.off:+d}" if r.id & rs.ADD_CONST else ""))
    if r.ref:
        out.append(f"ref_obj_id={r.ref}")
    if kind & rs.NON_OWNING:
        out.append("non_own_ref")
    if base in (rs.MAP_PTR, rs.MAP_KEY, rs.MAP_VALUE) and r.map is not None:
        if r.map.name:
            out.append(f"map={r.map.name}")
        out.append(f"ks={r.map.key_size},vs={r.map.value_size}")
    if kind != rs.SCALAR and r.off:
        out.append("off=" + signed_text(r.off))
    if base in rs.PACKET_KINDS:
        out.append("r=" + unsigned_text(r.range & U64_MAX))
    if base == rs.MEM:
        out.append("sz=" + unsigned_text(r.size))
    if kind == rs.DYNPTR and r.special is not None:
        out.append(f"type={r.special.type}")
    if s.m == 0:
        if s.v:
            out.append("imm=" + signed_text(s64(s.v)))
    else:
        out.extend(_ranges(s))
    return out


def _register_61(r: rs.RegState, frame: int) -> str:
    kind, s = r.kind, r.scalar
    base = kind & rs.BASE
    text = "P" if kind == rs.SCALAR and r.precise else ""
    if kind in (rs.SCALAR, rs.STACK) and s.m == 0:
        if kind == rs.SCALAR:
            return text + str(s64(s.v + r.off))
        return f"fp{s64(s.v + r.off)}"
    text += rs.kind_text(kind, 0)
    if base == rs.BTF_ID:
        text += r.struct
    out: list[str] = []
    if r.id:
        out.append(f"id={r.id}")
    if r.ref and base in (rs.SOCKET, rs.TCP_SOCK, rs.MEM, rs.BTF_ID):
        out.append(f"ref_obj_id={r.ref}")
    if kind != rs.SCALAR:
        out.append(f"off={r.off}")
    if base in rs.PACKET_KINDS:
        out.append(f"r={r.range}")
    elif base in (rs.MAP_PTR, rs.MAP_KEY, rs.MAP_VALUE) and r.map is not None:
        if r.map.name:
            out.append(f"map={r.map.name}")
        out.append(f"ks={r.map.key_size},vs={r.map.value_size}")
    if s.m == 0:
        out.append(f"imm={s.v:x}")
    else:
        out.extend(_ranges_61(s))
    return f"{text}({','.join(out)})"


def state_text(state: State, number: int, gen: int, everything: bool, regs: int, slots: int) -> str:
    """The registers and stack slots of frame `number`: all, or those in the masks `regs` and `slots`."""
    frame = state.frames[number]
    out = f" frame{number}:" if number else ""
    for i, reg in enumerate(frame.regs):
        if reg.kind == rs.NOT_INIT or not (everything or regs >> i & 1):
            continue
        live = _live_text(frame.live[i]) if gen < 2 else ""
        out += f" R{i}{live}={register_text(reg, number, gen)}"
    i = 0
    while i < len(frame.stack):
        if everything or slots >> i & 1:
            text, i = _slot_text(frame, i, gen)
            out += text
        i += 1
    refs = [str(ref.id) for ref in state.refs if ref.id]
    if gen == 2 and state.active_locks:
        refs.append(str(state.lock_id))         # since 6.14 a lock held is a resource
    if refs:
        out += " refs=" + ",".join(refs)
    if frame.in_callback:
        out += " cb"
    if frame.in_async:
        out += " async_cb"
    return out


def _live_text(mark: int) -> str:
    if not mark:
        return ""
    return "_" + ("r" if mark & 3 else "") + ("w" if mark & 4 else "") + ("D" if mark & 8 else "")


def _slot_text(frame: Frame, i: int, gen: int) -> tuple[str, int]:
    slot = frame.stack[i]
    types = slot.types
    if not any(types):
        return "", i
    top = types[7]
    reg = slot.reg
    if top == DYN and gen:
        i += 1
        reg = frame.stack[i].reg
        details = [f"{name}={value}" for name, value in
                   (("id", reg.id), ("ref_id", reg.ref), ("dynptr_id", reg.dynptr)) if value]
        what = reg.special.type if reg.special is not None else "<invalid>"
        live = _live_text(frame.stack_live[i]) if gen < 2 else ""
        return f" fp{-(i + 1) * 8}{live}=dynptr_{what}({','.join(details)})", i
    live = _live_text(frame.stack_live[i]) if gen < 2 else ""
    if top == ITER and gen:
        if not reg.ref or reg.special is None:
            return "", i
        state = ("<invalid>", "active", "drained")[reg.special.state]
        return f" fp{-(i + 1) * 8}{live}=iter_{reg.special.name}(ref_id={reg.ref},state={state}," \
               f"depth={reg.special.depth})", i
    if gen == 0:
        return f" fp{-(i + 1) * 8}{live}={_slot_61(slot, frame.number)}", i
    if top == SPILL:
        chars = "".join(TYPE_CHARS[t] for t in types[:types.index(SPILL)])
        return f" fp{-(i + 1) * 8}{live}={chars}{register_text(reg, frame.number, gen)}", i
    return f" fp{-(i + 1) * 8}{live}={''.join(TYPE_CHARS[t] for t in types)}", i


def _slot_61(slot: Slot, frame: int) -> str:
    """6.1 shows of a saved register its kind, or its value."""
    reg = slot.reg
    if slot.types[7] != SPILL:
        return "".join(TYPE_CHARS[t] for t in slot.types)
    if reg.kind != rs.SCALAR:
        return rs.kind_text(reg.kind, 0)
    return ("P" if reg.precise else "") + (str(s64(reg.scalar.v + reg.off)) if reg.scalar.m == 0 else "")


@final
class Log:
    """The log of one verification at `level` 1 or 2."""

    __slots__ = ("level", "gen", "parts", "insn_at", "insn_text")

    def __init__(self, level: int, gen: int) -> None:
        self.level = level
        self.gen = gen
        self.parts: list[str] = []
        self.insn_at = -1           # where the line of the last instruction is, if nothing came after it
        self.insn_text = ""

    def text(self) -> str:
        return "".join(self.parts)

    def mark(self) -> int:
        return len(self.parts)

    def cut(self, mark: int) -> None:
        """Forget everything after the mark: the path ended well (level 1)."""
        del self.parts[mark:]

    def line(self, text: str) -> None:
        self.parts.append(text + "\n")

    def insn(self, pc: int, text: str) -> None:
        self.insn_text = f"{pc}: {text}"
        self.parts.append(self.insn_text + "\n")
        self.insn_at = len(self.parts)

    def insn_state(self, pc: int, state: str) -> None:
        """The state after the last instruction: behind it, or on a line of its own when something was said since."""
        if self.insn_at == len(self.parts) and self.parts:
            at = len(self.insn_text) + 1
            pad = (max(at + 4, STATE_COLUMN) + 7) // 8 * 8 - at - 1
            self.parts[-1] = f"{self.insn_text}{' ' * max(pad, 1)};{state}\n"
        else:
            self.parts.append(f"{pc}:{state}\n")
