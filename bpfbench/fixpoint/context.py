"""What stays the same during one analysis: the program, its graph, its maps, what its type allows.

Every file of this folder that checks an instruction gets the `Analysis`; what changes from point to point is the
`State`.

The analysis knows some facts that Linux does not keep.  They are not used unless asked for by name, so that a program
that Linux refuses for safety is not accepted just because it happens to be safe (`BEYOND`).

`checking` is False while a loop is still being approximated: a check that fails then only cuts the path, the
last pass over the loop decides (iterate.py).
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint.failures import Refused
from bpfbench.fixpoint.state import Names, State
from bpfbench.fixpoint.values import NAMES, NOTHING, Region, Value
from bpfbench.fixpoint.widening import Thresholds
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_id
from bpfbench.program.cfg import Cfg
from bpfbench.program.liveness import live_registers, postorder
from bpfbench.program.program import Program
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier import progtypes, value_types

VERSION: Final = (6, 18)            # whose tables are used
BEYOND: Final[dict[str, str]] = {
    # name         what is known in addition
    "division":    "quotients, remainders and shifts by unknown amounts have ranges",
    "tests":       "a bit test that fails leaves the ranges as they were; ranges that contradict each other end a path",
    "offsets":     "the variable part of an offset may be negative where the fixed part makes up for it",
    "nulls":       "a register that holds 0 tells as much as the constant 0; frames, contexts, packets are never null",
    "keys":        "a constant key anywhere on the stack makes the lookup in an array succeed",
    "bytes":       "the bytes of a stack cell are known one by one, at any place",
    "relations":   "what follows from several differences together decides comparisons and proves packet accesses",
    "lengths":     "the length of the packet is one number: a later load of its address, or end - data, tells it too",
}
GPL: Final = frozenset(("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"))
TAIL_CALL: Final = helper_id("tail_call")


@final
class Prototype:
    """What type information says of a function: its name, whether it is global, its arguments (kind, size)."""

    __slots__ = ("name", "is_global", "args")

    def __init__(self, name: str, is_global: bool, args: list[tuple[str, int]] | None) -> None:
        self.name = name
        self.is_global = is_global
        self.args = args


@final
class Analysis:
    """See the module text.  `pc` is the instruction being checked."""

    __slots__ = ("program", "cfg", "names", "thresholds", "ends", "pc", "checking", "row", "gpl", "regions", "prototypes",
                 "live", "depth", "kinds", "strict", "changes_packet", "called_globals", "has_func_info", "async_entries",
                 "beyond", "steps", "joins", "widenings", "map_of")

    def __init__(self, prog: Program, cfg: Cfg, beyond: frozenset[str] = frozenset()) -> None:
        self.program = prog
        self.cfg = cfg
        self.beyond = beyond
        self.names = Names()
        self.thresholds = Thresholds(prog)
        self.ends = Thresholds(None)
        self.pc = 0
        self.checking = True
        self.row = progtypes.prog_type(prog.type)
        self.gpl = prog.license in GPL
        self.strict = bool(prog.flags & 1)
        self.regions = [self._region(i) for i in range(len(prog.maps))]
        self.has_func_info = bool(prog.func_info and prog.btf)
        self.prototypes = self._prototypes()
        self.live: list[int] = []                       # registers live before each instruction, see `prepare`
        self.depth = [0] * len(cfg.functions)           # bytes of stack each function uses
        self.kinds: dict[int, int] = {}                 # kind of pointer an instruction has used
        self.map_of: dict[int, int] = {}
        self.changes_packet = self._packet_changers()
        self.called_globals: set[int] = set()
        self.async_entries: dict[tuple[int, int], list[Value]] = {}      # by function and map
        self.steps = 0
        self.joins = 0
        self.widenings = 0

    def prepare(self) -> None:
        """What can be computed for a well-formed program only."""
        insns, starts = self.program.insns, [f.start for f in self.cfg.functions]
        self.live = live_registers(insns, self._arguments(), postorder(insns, starts)[0])

    def _region(self, index: int) -> Region:
        spec = self.program.maps[index]
        has_btf = bool(spec.btf_value and self.program.btf)
        fields = tuple(value_types.fields_of(self.program.btf, spec.btf_value)) if has_btf else ()
        return Region(index, spec, fields, has_btf)

    def _prototypes(self) -> dict[int, Prototype]:
        """By function index; functions without type information are not in it."""
        found: dict[int, Prototype] = {}
        if not self.has_func_info:
            return found
        starts = {f.start: f.index for f in self.cfg.functions}
        raw = self.program.func_info
        for at in range(0, len(raw) // 8 * 8, 8):
            pc, type_id = int.from_bytes(raw[at:at + 4], "little"), int.from_bytes(raw[at + 4:at + 8], "little")
            if pc in starts:
                name, linkage, args = value_types.function_of(self.program.btf, type_id, self.program.type)
                found[starts[pc]] = Prototype(name, linkage == 1 and starts[pc] > 0, args)
        return found

    def _arguments(self) -> dict[int, int]:
        """How many registers each helper call reads."""
        found: dict[int, int] = {}
        for pc, insn in enumerate(self.program.insns):
            if insn is not None and insn.kind == ops.CALL:
                proto = self.proto(insn.imm)
                if proto is not None:
                    found[pc] = len(proto.args)
        return found

    def _packet_changers(self) -> set[int]:
        """Functions that may move the packet, themselves or by what they call."""
        found: set[int] = set()
        for f in self.cfg.functions:
            for _, insn in self.cfg.function_insns(f.index):
                if insn.kind == ops.CALL and hp.changes_packet(insn.imm, VERSION):
                    found.add(f.index)
        grown = True
        while grown:
            grown = False
            for call in self.cfg.calls:
                if call.callee in found and call.caller not in found:
                    found.add(call.caller)
                    grown = True
        return found

    def proto(self, number: int) -> hp.HelperProto | None:
        return hp.proto(number, self.program.type, self.program.attach_type, VERSION, True, True)

    # Failing ----------------------------------------------------------------------------------------------------------

    def refuse(self, rule: str, message: str, *regs: int) -> Refused:
        """Use as `raise w.refuse(...)`; `regs` are those the check looked at."""
        return Refused(rule, message, self.pc, regs)

    def unsupported(self, what: str) -> Refused:
        return Refused("not-supported", f"not supported: {what}", self.pc)

    def read(self, state: State, r: int) -> Value:
        """A register as an operand."""
        if r > 10:
            raise self.refuse("encoding", f"r{r} is no register")
        v = state.frames[-1].regs[r]
        if v.kind == NOTHING:
            raise self.refuse("uninitialised", f"r{r} is not set on every path", r)
        return v

    def write(self, state: State, r: int, v: Value) -> None:
        if r >= 10:
            raise self.refuse("frame-pointer" if r == 10 else "encoding", f"r{r} cannot be written", r)
        state.frames[-1].regs[r] = v

    def named(self, v: Value) -> str:
        return NAMES[v.kind] + (" or null" if v.nullable else "")
