"""One block, instruction by instruction: a state goes in, states come out at the block's edges and at exits.

A call does not end a block, but what it calls may leave in several states, so a block is interpreted with a list of
(instruction, state) still to do.  Each instruction's own rules live in pointers.py, memory.py, branches.py, helpers.py
and calls.py; here they are told apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, final

from bpfbench.fixpoint import calls, memory, pointers
from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.branches import assume
from bpfbench.fixpoint.context import TAIL_CALL, Analysis
from bpfbench.fixpoint.helpers import call_helper
from bpfbench.fixpoint.state import CALLBACK, State
from bpfbench.fixpoint.values import ANY_NUMBER, NO_VALUE, constant, pointer
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.program.cfg import TAKEN

if TYPE_CHECKING:
    from bpfbench.fixpoint.iterate import Engine

_PLAIN: Final = {
    ops.ALU64: pointers.alu, ops.ALU32: pointers.alu, ops.MOVSX: pointers.move_extended, ops.END: pointers.byte_order,
    ops.LDX: memory.load, ops.LDXS: memory.load, ops.STX: memory.store, ops.ST: memory.store, ops.ATOMIC: memory.atomic,
    ops.LOAD_ACQ: memory.load_acquire, ops.STORE_REL: memory.store_release,
}


@final
class Interpreter:
    """Interprets blocks for an engine, which runs the functions they call."""

    __slots__ = ("w", "engine", "watch")

    def __init__(self, w: Analysis, engine: Engine) -> None:
        self.w = w
        self.engine = engine

    def block(self, block: int, state: State, exits: list[State]) -> Iterator[tuple[int, State]]:
        """(next block, state) for every way on; states at the end of the function go to `exits`."""
        w = self.w
        cfg = w.cfg
        end = cfg.blocks[block].end
        todo = [(cfg.blocks[block].start, state)]
        insns = w.program.insns
        while todo:
            pc, st = todo.pop()
            while pc < end:
                insn = insns[pc]
                if insn is None:
                    pc += 1
                    continue
                w.pc = pc
                w.steps += 1
                if insn.flaw and not (insn.kind == ops.EXIT and not (insn.dst or insn.src or insn.imm)):
                    raise w.refuse("encoding", insn.flaw)
                kind = insn.kind
                plain = _PLAIN.get(kind)
                if plain is not None:
                    plain(w, st, insn)
                elif kind in (ops.JMP, ops.JMP32):
                    yield from self._jump(block, st, insn)
                    break
                elif kind == ops.EXIT:
                    calls.leave(w, st, exits)
                    break
                elif kind in (ops.JA, ops.MAY_GOTO):
                    yield from self._goto(block, st, kind)
                    break
                else:
                    following = self._other(st, insn, kind, exits)
                    if not following:
                        break
                    todo += [(pc + insn.slots, s) for s in following[1:]]
                    st = following[0]
                pc += insn.slots
            else:
                for edge in cfg.edges_from(block):
                    yield edge.target, st

    def _jump(self, block: int, state: State, insn: Instruction) -> Iterator[tuple[int, State]]:
        edges = self.w.cfg.edges_from(block)
        if len(edges) == 2 and edges[0].target == edges[1].target:
            assume(self.w, state.copy(), insn, True)        # reads its operands all the same
            yield edges[0].target, state
            return
        ways: list[tuple[int, State]] = []
        for i, edge in enumerate(edges):
            side = state if i == len(edges) - 1 else state.copy()
            if assume(self.w, side, insn, edge.kind == TAKEN):
                ways.append((edge.target, side))
        yield from ways

    def _goto(self, block: int, state: State, kind: int) -> Iterator[tuple[int, State]]:
        for edge in self.w.cfg.edges_from(block):
            side = state.copy()
            if kind == ops.MAY_GOTO and edge.kind != TAKEN:
                side.fuel = True
            yield edge.target, side

    def _other(self, state: State, insn: Instruction, kind: int, exits: list[State]) -> list[State]:
        """Wide loads, calls, the old packet loads; answers the states to go on with."""
        w = self.w
        if kind == ops.LDDW:
            self._wide(state, insn)
        elif kind == ops.CALL:
            return self._helper(state, insn, exits)
        elif kind == ops.CALL_LOCAL:
            return calls.call_function(w, self.engine, state, w.pc + insn.imm + 1)
        elif kind in (ops.LD_ABS, ops.LD_IND):
            self._packet_load(state, insn, kind, exits)
        elif kind == ops.CALL_KFUNC:
            raise w.unsupported("calls of kernel functions (their prototypes are in the kernel's type information)")
        else:
            raise w.unsupported(f"{insn.op.name}")
        return [state]

    def _wide(self, state: State, insn: Instruction) -> None:
        """dst = a 64-bit constant, a map, a map's value, a function"""
        w, fn = self.w, insn.op.fn
        if fn == ops.IMM:
            found = constant(insn.imm)
        elif fn == ops.MAP_FD:
            found = pointer(vs.MAP, region=w.regions[insn.imm])
        elif fn == ops.MAP_VALUE:
            found = pointer(vs.VALUE, insn.imm2 & 0xFFFFFFFF, region=w.regions[insn.imm])
        else:
            number = w.cfg.blocks[w.cfg.block_of[w.pc + insn.imm + 1]].function
            proto = w.prototypes.get(number)
            if not w.has_func_info:
                raise w.refuse("callback", "callbacks need type information about functions")
            if number == 0 or (proto is not None and proto.is_global):
                raise w.refuse("callback", "a callback must be a static function")
            found = pointer(vs.FUNC, size=number)
        w.write(state, insn.dst, found)

    def _helper(self, state: State, insn: Instruction, exits: list[State]) -> list[State]:
        w = self.w
        given = state.regs[:6]
        call = call_helper(w, state, insn)
        if insn.imm == TAIL_CALL and len(state.frames) > 1:
            gone = state.copy()                             # a tail call that succeeds comes back to the caller
            gone.regs[0] = ANY_NUMBER
            from bpfbench.fixpoint.helpers import forget_packet

            forget_packet(gone)
            calls.leave(w, gone, exits)
        if call.function >= 0:
            return calls.call_back(w, self.engine, state, call, given)
        return [state]

    def _packet_load(self, state: State, insn: Instruction, kind: int, exits: list[State]) -> None:
        """r0 = packet bytes at an offset; outside the packet the function ends with 0."""
        w = self.w
        if w.row is None or not w.row.ld_abs:
            raise w.refuse("encoding", f"{w.program.type} programs have no such packet loads")
        if any(f.role == CALLBACK for f in state.frames):
            raise w.refuse("callback", "packet loads may end the program, a callback may not")
        if state.refs or state.lock is not None:
            raise w.refuse("reference" if state.refs else "lock", "a packet load may end the program here")
        ctx = w.read(state, 6)
        if kind == ops.LD_IND:
            w.read(state, insn.src)
        if ctx.kind != vs.CTX or ctx.scalar.m or ctx.scalar.v:
            raise w.refuse("argument", f"r6 must be the context, it is {vs.text(ctx)}", 6)
        for r in range(6):
            state.regs[r] = NO_VALUE
        if len(state.frames) > 1:
            gone = state.copy()
            gone.regs[0] = constant(0)
            calls.leave(w, gone, exits)
        state.regs[0] = ANY_NUMBER          # Linux does not note the size
