"""The walk in progress: the program, what the walker knows of each instruction, and where it stands.

Every file of this folder is one noun of the verification and works on a `Walk`: the current `state`, the paths
`pending`, the `explored` checkpoints, the counters.  A check that fails says the kernel's message with `say` and
raises `Refuse`, which the walker turns into a `Rejection`; nothing outside this folder sees that exception.

Source: struct bpf_verifier_env in include/linux/bpf_verifier.h; slides 29-31.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.isa.insn import Instruction
from bpfbench.program.program import Program
from bpfbench.verifier.features import Features
from bpfbench.verifier.kfuncs import Kfunc
from bpfbench.verifier.log import Log
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.regstate import SCALAR, UNKNOWN_NUMBER, UNKNOWN_PRECISE, MapView, RegState, kind_text
from bpfbench.verifier.state import Frame, State
from bpfbench.verifier.value_types import Prototype

EPERM: Final = 1
ENOENT: Final = 2
E2BIG: Final = 7
EBADF: Final = 9
EACCES: Final = 13
EFAULT: Final = 14
EBUSY: Final = 16
EINVAL: Final = 22
ERANGE: Final = 34
EPROTO: Final = 71
EOPNOTSUPP: Final = 95
ENOTSUPP: Final = 524

ERRNO_NAMES: Final[dict[int, str]] = {
    1: "EPERM", 2: "ENOENT", 7: "E2BIG", 9: "EBADF", 12: "ENOMEM", 13: "EACCES", 14: "EFAULT", 16: "EBUSY",
    22: "EINVAL", 34: "ERANGE", 71: "EPROTO", 95: "EOPNOTSUPP", 524: "ENOTSUPP",
}  # fmt: skip


# Flags a program is loaded with (include/uapi/linux/bpf.h, BPF_F_*).
STRICT_ALIGNMENT: Final = 1
ANY_ALIGNMENT: Final = 2
TEST_STATE_FREQ: Final = 8
SLEEPABLE: Final = 16


class Refuse(Exception):
    """A check failed; the message was said before."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


@final
class Subprog:
    """A function of the program: where it starts, how much stack it uses, what it does to packets."""

    __slots__ = ("start", "name", "stack_depth", "has_tail_call", "has_ld_abs", "is_callback", "is_async", "is_global",
                 "changes_pkt", "tail_call_reachable", "called", "verified", "args", "fastcall_off", "post_start",
                 "might_sleep", "priv_stack", "unreliable", "is_exception", "prototype")

    def __init__(self, start: int) -> None:
        self.start = start
        self.name = ""
        self.stack_depth = 0
        self.has_tail_call = False
        self.has_ld_abs = False
        self.is_callback = False
        self.is_async = False
        self.is_exception = False
        self.is_global = False
        self.changes_pkt = False
        self.tail_call_reachable = False
        self.called = False
        self.verified = False
        self.args: list[tuple[str, int]] | None = None      # of a global function: (kind, size)
        self.fastcall_off = 0
        self.post_start = 0
        self.might_sleep = False
        self.priv_stack = 0
        self.unreliable = False
        self.prototype: Prototype | None = None


@final
class Aux:
    """What the walker keeps about an instruction that needs more than the columns of `Walk`; most share `PLAIN`."""

    __slots__ = ("prune_point", "jmp_point", "checkpoint", "calls_callback", "iter_next", "ptr_kind",
                 "nospec", "nospec_result", "alu_state", "alu_limit", "fastcall", "fastcall_spills", "map_key",
                 "map_of_call", "map_poisoned", "loop_inline", "zext", "sanitize_spill", "ctx_size", "jump_target",
                 "stack_read", "kfunc", "callback")

    def __init__(self) -> None:
        self.prune_point = False
        self.jmp_point = False
        self.jump_target = False
        self.checkpoint = False
        self.calls_callback = False
        self.iter_next = False
        self.ptr_kind = 0
        self.nospec = False
        self.nospec_result = False
        self.alu_state = 0
        self.alu_limit = 0
        self.fastcall = False
        self.fastcall_spills = 0
        self.map_key = -1
        self.map_of_call: MapView | None = None
        self.map_poisoned = False
        self.loop_inline = 0
        self.zext = False
        self.sanitize_spill = False
        self.ctx_size = 0
        self.stack_read = 0
        self.kfunc = ""
        self.callback = -1              # function that a call is given on every path so far, -2 when paths differ


#: Never changed: `Walk.note` gives an instruction an `Aux` of its own.
PLAIN: Final = Aux()


@final
class Pending:
    """A path to walk later."""

    __slots__ = ("state", "pc", "prev", "log_mark")

    def __init__(self, state: State, pc: int, prev: int, log_mark: int) -> None:
        self.state = state
        self.pc = pc
        self.prev = prev
        self.log_mark = log_mark


@final
class Walk:
    """See the module text."""

    __slots__ = (
        "prog", "insns", "raw", "k", "gpl", "bpf_capable", "allow_ptr_leaks", "allow_uninit", "bypass_v1", "bypass_v4",
        "perfmon", "strict_align", "maps", "lddw_map", "subprogs", "aux", "seen", "live", "scc", "state", "pc", "prev",
        "pending",
        "explored", "explored_count", "free_count", "processed", "jmps", "prev_processed", "prev_jmps", "total_states",
        "peak_states", "max_states_per_insn", "id_gen", "tmp_id_gen", "log", "observer", "lines", "scratched",
        "scratched_slots", "hist_open", "explore_alu_limits", "insn_text", "postorder", "scc_visits", "backedges",
        "live_stack", "longest_mark_read", "seen_direct_write", "max_pkt_offset", "changes_pkt", "func_info",
        "funcs_static", "unknown_reg", "checkpoint_count", "pass_count", "partial", "kfuncs", "bt_frames", "exc_cb",
        "cgroup_storage", "cpus", "line_shown", "just_kept", "btf", "keeps_all", "sleepable",
    )  # fmt: skip

    def __init__(self, prog: Program, k: Features, privileged: bool, log: Log | None,
                 observer: Observer | None) -> None:
        self.prog = prog
        self.insns: list[Instruction | None] = prog.insns
        self.raw = b""
        self.k = k
        self.gpl = prog.license in ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL",
                                    "Dual MPL/GPL")
        self.bpf_capable = True
        self.perfmon = privileged
        self.allow_ptr_leaks = privileged
        self.allow_uninit = privileged and k.reads_uninit
        self.bypass_v1 = privileged
        self.bypass_v4 = privileged
        self.strict_align = bool(prog.flags & STRICT_ALIGNMENT)
        self.keeps_all = bool(prog.flags & TEST_STATE_FREQ)      # a checkpoint wherever one can be
        self.sleepable = bool(prog.flags & SLEEPABLE)
        self.maps: list[MapView] = []
        self.lddw_map: dict[int, tuple[MapView, int]] = {}
        self.subprogs: list[Subprog] = []
        self.aux: list[Aux] = [PLAIN] * len(prog.insns)
        self.seen = bytearray(len(prog.insns))               # did a path that can really be taken come here?
        self.live: list[int] = [0xFFFF] * len(prog.insns)    # registers that matter before it, where that is known
        self.scc: list[int] = [0] * len(prog.insns)          # number of the loop it is in
        self.state: State = State()
        self.pc = 0
        self.prev = -1
        self.pending: list[Pending] = []
        self.explored: dict[int, list[State]] = {}
        self.explored_count = 0
        self.free_count = 0
        self.processed = 0
        self.jmps = 0
        self.prev_processed = 0
        self.prev_jmps = 0
        self.total_states = 0
        self.peak_states = 0
        self.max_states_per_insn = 0
        self.id_gen = 0
        self.tmp_id_gen = 0
        self.log = log
        self.observer = observer
        self.lines: list[str] = []
        self.scratched = 0
        self.scratched_slots = 0
        self.hist_open = False
        self.explore_alu_limits = False
        self.insn_text: list[str] = []
        self.postorder: list[int] = []
        self.scc_visits: dict[tuple[int, ...], SccVisit] = {}
        self.backedges = 0
        self.live_stack: object = None
        self.longest_mark_read = 0
        self.seen_direct_write = False
        self.max_pkt_offset = 0
        self.changes_pkt = False
        self.func_info: list[tuple[int, int]] | None = None
        self.funcs_static: dict[int, bool] = {}
        self.unknown_reg: RegState = UNKNOWN_NUMBER if self.bpf_capable and k.precision else UNKNOWN_PRECISE
        self.checkpoint_count = 0
        self.pass_count = 0
        self.partial = ""
        self.kfuncs: dict[int, Kfunc] = {}              # the kernel functions called, by pc
        self.btf: Btf | None = None                     # the kernel's types
        self.bt_frames: list[int] = []
        self.exc_cb = 0
        self.cgroup_storage: dict[str, int] = {}
        self.cpus = k.cpus
        self.line_shown = -1
        self.just_kept = False

    # Saying --------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line of the log that is a message."""
        self.lines.append(text)
        if self.log is not None:
            self.log.line(text)

    def refuse(self, text: str, errno: int = EACCES) -> Refuse:
        """Say `text`; use as `raise w.refuse(...)`."""
        self.say(text)
        return Refuse(errno)

    def part(self, text: str) -> None:
        """The beginning of a line; `say` or `refuse` finishes it."""
        self.partial += text

    # Where it stands -----------------------------------------------------------------------------------------------

    @property
    def frame(self) -> Frame:
        return self.state.frames[-1]

    def new_id(self) -> int:
        self.id_gen += 1
        return self.id_gen

    def insn(self) -> Instruction:
        found = self.insns[self.pc]
        assert found is not None
        return found

    def subprog_at(self, pc: int) -> int:
        """Number of the function that holds the instruction."""
        low, high = 0, len(self.subprogs) - 1
        while low < high:
            mid = (low + high + 1) // 2
            if self.subprogs[mid].start <= pc:
                low = mid
            else:
                high = mid - 1
        return low

    def subprog_starting(self, pc: int) -> int:
        """Number of the function that starts there, or -1."""
        i = self.subprog_at(pc)
        return i if self.subprogs[i].start == pc else -1

    def note(self, pc: int) -> Aux:
        """What is kept about an instruction, to be changed."""
        found = self.aux[pc]
        if found is PLAIN:
            found = self.aux[pc] = Aux()
        return found

    def end_of(self, subprog: int) -> int:
        return self.subprogs[subprog + 1].start if subprog + 1 < len(self.subprogs) else len(self.insns)

    # Registers as operands -----------------------------------------------------------------------------------------

    def read(self, r: int) -> RegState:
        """The register as a source operand (`check_reg_arg` SRC_OP)."""
        if r > 10:
            raise self.refuse(f"R{r} is invalid", EINVAL)
        self.scratched |= 1 << r
        frame = self.state.frames[-1]
        reg = frame.regs[r]
        if reg.kind == 0:
            raise self.refuse(f"R{r} !read_ok", EACCES)
        if r != 10 and self.k.liveness == 0:
            from bpfbench.verifier.chain import mark_read

            mark_read(self, frame, r)
        return reg

    def writable(self, r: int) -> None:
        """May the register be written?  (`check_reg_arg` DST_OP_NO_MARK)"""
        if r > 10:
            raise self.refuse(f"R{r} is invalid", EINVAL)
        self.scratched |= 1 << r
        if r == 10:
            raise self.refuse("frame pointer is read only", EACCES)
        if self.k.liveness == 0:
            self.state.frames[-1].live[r] |= 4

    def overwrite(self, r: int) -> None:
        """The register gets an unknown number (`check_reg_arg` DST_OP)."""
        self.writable(r)
        self.state.frames[-1].regs[r] = self.unknown_reg

    def named(self, kind: int) -> str:
        """A kind of register as this kernel's messages name it."""
        if kind == SCALAR and self.k.version < (5, 18):
            return "inv"
        return kind_text(kind, self.k.log_gen)

    def leaks(self, reg: RegState) -> bool:
        """Would giving away this value tell an address?  (`is_pointer_value`)"""
        return not self.allow_ptr_leaks and reg.kind != 1


@final
class SccVisit:
    """One entry into a loop: the checkpoint it was entered with, and the paths that closed it."""

    __slots__ = ("entry", "backedges")

    def __init__(self) -> None:
        self.entry: State | None = None
        self.backedges: list[State] = []
