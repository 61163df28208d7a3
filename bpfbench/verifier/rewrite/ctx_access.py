"""Context accesses: from the fields a program sees to the structures the kernel has.

Each load or store through a context or socket pointer is replaced by the steps of its recipe (ctx_recipes.py) at the
offsets of the kernel's layout.  A read of a part of a field reads the whole field first and cuts the part out:

    r0 = *(u8 *)(r1 +9)        second byte of `mark`       r0 = *(u32 *)(r1 +MARK)
                                                           w0 >>= 8
                                                           w0 &= 255

Programs that write packets directly get a prologue that unshares the packet first.

Source: kernel/bpf/verifier.c (`convert_ctx_accesses`), net/core/filter.c (`*_convert_ctx_access`,
`bpf_unclone_prologue`); slide 22.
"""

from __future__ import annotations

from bpfbench.errors import NotSupported, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.program.program import Program
from bpfbench.verifier import contexts
from bpfbench.verifier.contexts import CtxField
from bpfbench.verifier.rewrite import borrow
from bpfbench.verifier.rewrite.body import Body, Line, op
from bpfbench.verifier.rewrite.ctx_recipes import BY_POINTER, BY_TYPE, PLAIN, TC_IFINDEX, Recipe
from bpfbench.verifier.rewrite.hints import CTX, Hints
from bpfbench.verifier.rewrite.kernel_layout import KernelLayout

_AX = 11
_SIZE_BITS = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_NO_QUEUE = 65535
_PROLOGUE_VERDICT = {"sched_cls": 2, "sched_act": 2, "lwt_xmit": 2, "sk_skb": 0}     # TC_ACT_SHOT, SK_DROP
_INGRESS, _TYPE_MASK = 4, 3


def unclone_prologue(body: Body, prog: Program, hints: Hints, layout: KernelLayout) -> None:
    """Before the first instruction of a program that writes packets: pull a private copy, or drop the packet."""
    if not hints.writes_packet or prog.type not in _PROLOGUE_VERDICT:
        return
    cloned, _ = layout.member("sk_buff.__cloned_offset")
    pull = Line(op(0x85), symbol="bpf_skb_pull_data")
    patch = [Line(x) for x in (op(0x71, 6, 1, cloned), op(0x54, 6, 0, 0, 1), op(0x15, 6, 0, 7, 0), op(0xBF, 6, 1),
                               op(0xAF, 2, 2))]
    patch += [pull] + [Line(x) for x in (op(0x15, 0, 0, 2, 0), op(0xB4, 0, 0, 0, _PROLOGUE_VERDICT[prog.type]),
                                         op(0x95), op(0xBF, 1, 6))]
    first = body.lines[0]
    whole = [*patch, first]
    for i, line in enumerate(patch):
        if line.insn.is_jump:
            line.target = whole[i + 1 + line.insn.jump]
    patch[0].function, first.function = 0, -1
    for line in whole:
        line.patched = True
    body.lines[:1] = whole


def convert_accesses(body: Body, prog: Program, layout: KernelLayout, version: tuple[int, int],
                     tstamp_type: bool) -> None:
    """All accesses through context and socket pointers."""
    patches: dict[int, list[Line]] = {}
    for i, line in enumerate(body.lines):
        insn = line.insn
        if line.hint is None or line.pc < 0 or insn.kind not in (ops.LDX, ops.LDXS, ops.STX, ops.ST):
            continue
        after = insn.kind in (ops.STX, ops.ST) and (line.hint.sanitize_spill or line.hint.nospec_result)
        if after or not line.hint.pointer:
            continue
        found = _find(prog, line.hint.pointer, insn, version)
        if found is None:
            continue
        field, recipe, name = found
        access = Access(insn, field, name, layout, version, tstamp_type, line.pc)
        new = access.store(recipe) if insn.kind in (ops.STX, ops.ST) else access.load(recipe)
        patches[i] = [Line(x) for x in new]
    body.rebuild(patches)


def _find(prog: Program, pointer: str, insn: Instruction,
          version: tuple[int, int]) -> tuple[CtxField, Recipe, str] | None:
    write = insn.kind in (ops.STX, ops.ST)
    if pointer == CTX:
        if prog.type in PLAIN:
            return None
        field = contexts.access(prog.type, prog.attach_type, insn.off, insn.op.size, write, version)
        table = BY_TYPE.get(prog.type)
    else:
        table = BY_POINTER.get(pointer)
        if table is None:
            return None
        field = contexts.sock_access(pointer if pointer != "socket" else "sock", insn.off, insn.op.size)
    name = field.name.partition("[")[0] if field is not None else "?"
    recipe = table.get(name) if table is not None else None
    if prog.type in ("sched_cls", "sched_act") and pointer == CTX and name == "ifindex":
        recipe = TC_IFINDEX
    if field is None or recipe is None:
        raise NotSupported(f"rewriting of access to {name} in a context of {prog.type} programs", Where(prog.name))
    return field, recipe, name


class Access:
    """One access: the instruction, the field it reaches, and the kernel's layout."""

    __slots__ = ("insn", "field", "name", "layout", "version", "tstamp_type", "pc", "size", "off",
                 "loaded")

    def __init__(self, insn: Instruction, field: CtxField, name: str, layout: KernelLayout, version: tuple[int, int],
                 tstamp_type: bool, pc: int) -> None:
        self.insn = insn
        self.field = field
        self.name = name
        self.layout = layout
        self.version = version
        self.tstamp_type = tstamp_type
        self.pc = pc
        self.size = insn.op.size
        self.off = insn.off
        self.loaded = insn.op.size              # size of the last load

    def load(self, recipe: Recipe) -> list[Instruction]:
        """The loads, the cut of a part, the sign extension."""
        steps, kernel_size, _ = recipe
        if self.name == "rx_queue_mapping" and self.version < (6, 18):
            kernel_size = 4
        narrow_field = self._narrow_size()
        size = self.size
        shift = 0
        if size < narrow_field:
            shift = 8 * (self.off & (narrow_field - 1))
            self.off &= ~(narrow_field - 1)
            self.size = narrow_field
        out = self._steps(steps)
        dst = self.insn.dst
        if size < narrow_field and size < (kernel_size or self.loaded):
            if shift:
                out.append(op(0x74 if narrow_field <= 4 else 0x77, dst, 0, 0, shift))
            out.append(op(0x54, dst, 0, 0, (1 << 8 * size) - 1))
        if self.insn.kind == ops.LDXS:
            out.append(op(0xBF, dst, dst, 8 * size))
        return out

    def _narrow_size(self) -> int:
        """Size of the field when parts of it may be read, else 0."""
        shape = self.field.shape
        if shape == "4":
            return 4 if self.size == 4 else 2
        return self.field.size if shape in "<^2d" else 0

    def _steps(self, steps: str) -> list[Instruction]:
        if steps == "tstamp":
            return self._tstamp_read()
        if steps == "linear_end":
            return borrow.linear_end(self.insn.dst, self.insn.src, self.layout)
        if steps.startswith("full:"):
            member = self._address(steps[5:]) if steps[5:] else None
            return borrow.from_full_socket(self.insn.dst, self.insn.src, member, self.layout)
        if steps.startswith("rtt:"):
            if self.version < (6, 18):
                return self._steps("full:" + steps[4:])
            steps = "bpf_sock_ops_kern.sk " + steps[4:]
        out: list[Instruction] = []
        words = steps.split()
        dst, base = self.insn.dst, self.insn.src
        i = 0
        while i < len(words):
            word = words[i]
            i += 1
            if word.startswith("?"):
                out.append(op(0x15, dst, 0, int(word[1:] or "1"), 0))
            elif word in ("<<", "&"):
                out.append(op(0x64 if word == "<<" else 0x54, dst, 0, 0, int(words[i])))
                i += 1
            elif word.startswith("="):
                out.append(op(0xB4, dst, 0, 0, int(word[1:])))
            elif word == "napi":
                out += [op(0x35, dst, 0, 1, self._first_napi()), op(0xB7, dst)]
            elif word == "queue":
                out += [op(0x55, dst, 0, 1, _NO_QUEUE), op(0xB4 if self.version < (6, 18) else 0xB7, dst, 0, 0, -1)]
            elif word == "shinfo":
                out += self._shinfo(dst, base)
            else:
                off, size = self._address(word)
                self.loaded = size
                out.append(op(0x61 | _SIZE_BITS[size], dst, base, off))
            base = dst
        return out

    def _address(self, word: str) -> tuple[int, int]:
        """Offset and size of a load step: `*` = the access's own size, `@` = plus its place in the field, `:N` size."""
        own = word.startswith("*")
        at = "@" in word[:2]
        path, _, given = word.lstrip("*@").partition(":")
        off, size = 0, 8
        for part in path.split("+"):
            if part.isdigit():
                off += int(part)
            else:
                more, size = self.layout.member(part)
                off += more
        if given:
            size = int(given)
        if own:
            size = self.size if at else min(size, self.size)
        if at:
            off += self.off - self._field_start()
            size = self.size if self.field.shape == "*" else size
        return off, size

    def _field_start(self) -> int:
        name, bracket, index = self.field.name.partition("[")
        return self.field.off - (int(index[:-1]) * self.field.size if bracket else 0)

    def _first_napi(self) -> int:
        """NAPI ids begin after the processors; the smallest is one more than their number."""
        return self.layout.member("MIN_NAPI_ID")[0]

    def _shinfo(self, dst: int, base: int) -> list[Instruction]:
        end, _ = self.layout.member("sk_buff.end")
        head, _ = self.layout.member("sk_buff.head")
        return [op(0x61, _AX, base, end), op(0x79, dst, base, head), op(0x0F, dst, _AX)]

    # Stores

    def store(self, recipe: Recipe) -> list[Instruction]:
        member = recipe[2]
        if member == "":
            raise NotSupported(f"rewriting of a store to {self.name}", Where(pc=self.pc))
        if member == "tstamp":
            return self._tstamp_write()
        if member.startswith("nested:"):
            return self._nested(recipe[0], member[7:])
        if member.startswith("full:"):
            off, size = self._address(member[5:])
            spare = borrow.spare(self.insn.dst, self.insn.src)
            return borrow.to_full_socket(self.insn.dst, spare, self._emit(spare, off, size), self.layout)
        off, size = self._address(member)
        out: list[Instruction] = []
        if self.name == "queue_mapping":
            if self.insn.kind == ops.ST and not 0 <= self.insn.imm < _NO_QUEUE:
                return [op(0x05)]
            if self.insn.kind == ops.STX:
                out.append(op(0x35, self.insn.src, 0, 1, _NO_QUEUE))
        return [*out, self._emit(self.insn.dst, off, size)]

    def _emit(self, base: int, off: int, size: int) -> Instruction:
        if self.insn.kind == ops.ST:
            return op(0x62 | _SIZE_BITS[size], base, 0, off, self.insn.imm)
        return op(0x63 | _SIZE_BITS[size], base, self.insn.src, off)

    def _nested(self, steps: str, park: str) -> list[Instruction]:
        """A store through pointers in the context: a third register is borrowed, its value parked in the context."""
        *chain, last = steps.split()
        dst = self.insn.dst
        spare = borrow.spare(dst, self.insn.src)
        at, _ = self.layout.member(park)
        out = [op(0x7B, dst, spare, at)]
        base = dst
        for step in chain:
            out.append(op(0x79, spare, base, self._address(step)[0]))
            base = spare
        off, size = self._address(last)
        return [*out, self._emit(spare, off, size), op(0x79, spare, dst, at)]

    # Time stamps: at ingress a delivery time must not be taken for a time of arrival

    def _tstamp_read(self) -> list[Instruction]:
        stamp, _ = self.layout.member("sk_buff.tstamp")
        dst, base = self.insn.dst, self.insn.src
        if self.tstamp_type:
            return [op(0x79, dst, base, stamp)]
        self._needs_new_stamps()
        flags, _ = self.layout.member("sk_buff.__mono_tc_offset")
        return [op(0x71, _AX, base, flags), op(0x46, _AX, 0, 1, _INGRESS), op(0x05, 0, 0, 4),
                op(0x46, _AX, 0, 1, _TYPE_MASK), op(0x05, 0, 0, 2), op(0xB7, dst), op(0x05, 0, 0, 1),
                op(0x79, dst, base, stamp)]

    def _tstamp_write(self) -> list[Instruction]:
        stamp, _ = self.layout.member("sk_buff.tstamp")
        base = self.insn.dst
        store = self._emit(base, stamp, 8)
        if self.tstamp_type:
            return [store]
        self._needs_new_stamps()
        flags, _ = self.layout.member("sk_buff.__mono_tc_offset")
        return [op(0x71, _AX, base, flags), op(0x46, _AX, 0, 1, _INGRESS), op(0x05, 0, 0, 2),
                op(0x54, _AX, 0, 0, ~_TYPE_MASK), op(0x73, base, _AX, flags), store]

    def _needs_new_stamps(self) -> None:
        if self.version < (6, 11):
            raise NotSupported("rewriting of tstamp accesses for kernels before 6.11", Where(pc=self.pc))
