"""What a kernel's verifier does, as a row of switches.

Every difference between kernels that the path walk knows is one named field here; code asks the field, never the
version. `without` removes an algorithm by name, to watch what it is worth.

| experiment         | what is switched off |
|---|---|
| `pruning`          | no path is cut short by an earlier, equivalent one |
| `liveness`         | all registers and slots count when states are compared |
| `precision`        | every number counts exactly when states are compared |
| `tnum`             | bits are forgotten after each operation |
| `32-bit bounds`    | ranges of low halves are forgotten |
| `CVE-2020-8835`, … | the fix of a published bug: see `history/switches.py` |

Sources: the kernels' kernel/bpf/verifier.c; slides 22-33.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from bpfbench.errors import UsageError
from bpfbench.profiles import profile
from bpfbench.verifier import bounds, refine, tnum
from bpfbench.verifier.scalar import Scalar
from bpfbench.verifier.transfer import Arithmetic

EXPERIMENTS: Final = ("pruning", "liveness", "precision", "tnum", "32-bit bounds")

LIVE_CHAIN: Final = 0           # read marks travel along the parents of a state (slides 32, 33; up to 6.17)
LIVE_STATIC: Final = 1          # computed for the whole program before the walk, stack during it (6.18)


@final
class Features:
    """The switches of one kernel.  Field names say what is true when they are set."""

    __slots__ = (
        "name", "version", "arith", "deduce", "compare", "liveness", "loops", "unreachable_ok", "insn_limit",
        "state_ids", "sub_spills", "link_offsets", "reads_uninit", "scc", "const_keys", "nospec", "history_limit",
        "zero_spills", "log_gen", "pruning", "live", "precision", "bits", "halves", "max_stack_states", "imprecise",
        "retval_precise", "subprog_history", "fastcall", "may_goto", "movsx", "resource_text", "jset_split",
        "priv_stack", "exact_ids", "zext_fill_ids", "fork_ranges", "load_acquire", "pkt_data_subprogs", "tail_pkt",
        "null_slot_retain", "callbacks_as_loops", "stack_history", "singular_ids", "swaps", "stack_grows",
        "dynptr_tracked", "call_loops_ok", "cpus", "null_precise", "callback_loops", "link_halves", "tail_exits",
        "full_errno", "fetch_back", "mov32_sign", "nullable_moves", "jump_chain", "ids_compared", "combine",
        "slides", "spills_numbers",
    )  # fmt: skip

    def __init__(self, name: str, version: tuple[int, int], without: tuple[str, ...]) -> None:
        for experiment in without:
            if experiment not in EXPERIMENTS and experiment not in fixes():
                raise UsageError(f"unknown algorithm '{experiment}' to switch off; known: {', '.join(EXPERIMENTS)}, "
                                 f"and fixes: {', '.join(fixes())}")
        v = version
        self.name = name
        self.version = v
        gen = 2 if v >= (6, 14) else 1 if v >= (6, 8) else 0
        self.deduce = bounds.DEDUCE_618 if v >= (6, 18) else bounds.DEDUCE_612 if v >= (6, 8) else bounds.DEDUCE_61
        product = tnum.MUL_UNION if v >= (6, 18) else tnum.MUL_PARTIAL if v >= (5, 14) else tnum.MUL_HALF_ADD
        self.arith = Arithmetic(gen, product, self.deduce, v >= (6, 17))
        self.compare = refine.BITS_TOO if v >= (6, 12) else refine.BOTH_SIDES if v >= (6, 8) else refine.JUST_CONST
        self.liveness = LIVE_STATIC if v >= (6, 18) else LIVE_CHAIN
        self.loops = v >= (5, 3)
        self.unreachable_ok = False
        self.insn_limit = 1_000_000 if v >= (5, 2) else 131_072
        self.state_ids = v >= (6, 6)            # ids of numbers must match when states are compared
        self.sub_spills = v >= (6, 8)           # numbers narrower than a slot are saved as numbers
        self.link_offsets = v >= (6, 12)        # r2 = r1; r2 += 8 stays linked
        self.reads_uninit = v >= (6, 1)         # privileged programs may read stack never written
        self.scc = v >= (6, 17)
        self.const_keys = v >= (6, 14)
        self.nospec = v >= (6, 17)
        self.history_limit = 40 if v >= (6, 12) else 0
        self.zero_spills = v >= (6, 8)          # *(u64 *)(fp-8) = 0 saves the number zero
        self.log_gen = 2 if v >= (6, 18) else 1 if v >= (6, 8) else 0
        self.max_stack_states = 64
        self.imprecise = v >= (6, 1)            # forget precision at checkpoints (6.2, and the stable releases of 6.1)
        self.retval_precise = v >= (6, 8)
        self.subprog_history = v >= (6, 5)      # precision follows calls
        self.fastcall = v >= (6, 12)
        self.may_goto = v >= (6, 9)
        self.movsx = v >= (6, 6)
        self.resource_text = v >= (6, 14)
        self.jset_split = v >= (6, 12)
        self.priv_stack = v >= (6, 13)
        self.exact_ids = v >= (6, 8)
        self.zext_fill_ids = v >= (6, 18)
        self.fork_ranges = v >= (6, 12)
        self.load_acquire = v >= (6, 15)
        self.pkt_data_subprogs = v >= (6, 12)
        self.tail_pkt = v >= (6, 13)
        self.null_slot_retain = v >= (6, 8)
        self.stack_history = v >= (6, 8)        # precision follows stack accesses through any pointer
        self.singular_ids = False
        self.null_precise = False                # a null argument matters exactly (later stable releases)
        self.cpus = 2 if v >= (6, 18) else 1    # of the machine the profile was recorded on
        self.call_loops_ok = v >= (6, 4)        # recursion is found by the walk, not by its graph
        self.stack_grows = v >= (6, 8)          # any access in bounds allocates stack, not only stores
        self.dynptr_tracked = v >= (6, 3)       # stores over a dynamic pointer end it
        self.callback_loops = False             # a call with a callback is a loop of its own
        self.link_halves = v >= (6, 18)         # links survive w2 += 8 and r2 -= 8
        self.swaps = v >= (6, 18)               # byte swaps move known bits
        self.tail_exits = v >= (6, 18)          # a tail call in a function may end it
        self.fetch_back = v < (6, 18)           # precision goes through atomic fetches (Debian's 6.1 and 6.12 have it)
        self.full_errno = 14    # of too many pending paths
        self.callbacks_as_loops = v >= (6, 7)
        self.pruning = "pruning" not in without
        self.live = "liveness" not in without
        self.precision = "precision" not in without and v >= (5, 3)
        self.bits = "tnum" not in without
        self.halves = "32-bit bounds" not in without and v >= (5, 7)
        self.slides = v < (5, 1)                # the plain walk: slides.py
        self.spills_numbers = v >= (5, 3)       # saved numbers are known when they come back
        self.mov32_sign = False                 # w1 = -1 sets all 64 bits (museum)
        self.nullable_moves = False             # memory that may be null may be moved (museum)
        self.jump_chain = True                  # precision goes from one side of a comparison to the other
        self.ids_compared = self.state_ids      # numbers linked in a checkpoint must be linked in the state
        self.combine: Callable[[Scalar, bool, int], Scalar] | None = None   # a wrong lesson (museum)
        for experiment in without:
            if experiment not in EXPERIMENTS:
                restore(self, experiment)


def fixes() -> tuple[str, ...]:
    """Names of published bugs whose fix can be switched off."""
    from bpfbench.verifier.history.switches import SWITCHES

    return tuple(SWITCHES)


def restore(k: Features, name: str) -> None:
    from bpfbench.verifier.history.switches import restore

    restore(k, name)


def features(kernel: str, without: tuple[str, ...] = ()) -> Features:
    """The switches of a kernel profile.

    >>> features("linux-6.1").scc, features("linux-6.18").scc
    (False, True)
    """
    found = profile(kernel)
    return Features(found.name, found.version, without)
