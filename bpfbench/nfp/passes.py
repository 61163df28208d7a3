"""The passes in the driver's order, and what each of them achieved.

`run_passes` works on the list; `reports` translates after each pass and says how many instructions it saved and why it
was legal.  Source: `nfp_bpf_optimize` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.nfp import memcpy, packet_cache, peephole, width32
from bpfbench.nfp.notes import Step

Pass = Callable[[list[Step], bool], None]

# fmt: off
#              name              pass                       why it is legal
PASSES: Final[tuple[tuple[str, Pass, str], ...]] = (
    ("register init",   peephole.register_init,     "accesses to the context do not use the register"),
    ("negate",          peephole.negate,            "x + -c and x - c are the same modulo 2^64, with the same carry"),
    ("mask after load", peephole.mask_after_load,   "the load gives no bits that the mask would clear"),
    ("shift after load", peephole.shift_after_load, "the load gives no bits that the shifts would clear"),
    ("extension",       peephole.extension,         "two shifts by 32 or more take a value's lower half, as the new ones do"),
    ("power of two",    peephole.power_of_two,      "x * 2^n and x << n are the same modulo 2^64"),
    ("memcpy",          memcpy.gather,              "each element is stored as loaded; no load sees a store of the chain"),
    ("packet cache",    packet_cache.cache,         "no store, call or jump comes between the reading and the use"),
    ("compare32",       width32.comparisons,        "both values have an upper half of 0 on every path"),
    ("alu32",           width32.marks,              "the verifier saw no 64-bit read of this 32-bit result"),
    ("width32",         width32.propagate,          "no chain leads from this definition to a use of 64 bits"),
)
# fmt: on


def run_passes(steps: list[Step], driver: bool, without: tuple[str, ...] = ()) -> None:
    """All passes in order, except those named."""
    for name, apply, _ in PASSES:
        if name not in without:
            apply(steps, driver)
