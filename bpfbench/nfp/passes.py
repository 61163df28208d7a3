"""The passes in order: those of the driver, and between them ours.

`run_passes` works on the list; nfp/reports.py translates after each pass and shows what it saved and why it was legal.
Source: `nfp_bpf_optimize` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.errors import UsageError
from bpfbench.nfp import memcpy, packet_cache, peephole, spills, width32
from bpfbench.nfp.notes import Step

Pass = Callable[[list[Step], bool], None]

BOTH, OURS = "driver", "ours"

# fmt: off
#    name                pass                        whose  why it is legal
PASSES: Final[tuple[tuple[str, Pass, str, str], ...]] = (
    ("register init",    peephole.register_init,     BOTH, "accesses to the context do not use the register"),
    ("negate",           peephole.negate,            BOTH, "x + -c and x - c are the same modulo 2^64, and carry alike"),
    ("mask after load",  peephole.mask_after_load,   BOTH, "the load gives no bits that the mask would clear"),
    ("shift after load", peephole.shift_after_load,  BOTH, "the load gives no bits that the shifts would clear"),
    ("extension",        peephole.extension,         OURS, "left by 32, right by 32 + n: what remains is the lower half"),
    ("power of two",     peephole.power_of_two,      OURS, "x * 2^n and x << n are the same modulo 2^64"),
    ("byte masks",       peephole.byte_masks,        OURS, "what the mask keeps are whole bytes"),
    ("memcpy",           memcpy.gather,              BOTH, "stored as loaded, and no load sees a store of the chain"),
    ("packet cache",     packet_cache.cache,         BOTH, "no store, call or jump between the reading and the use"),
    ("reload",           memcpy.reload,              OURS, "no chain leads from the copy's data register to a use"),
    ("compare32",        width32.comparisons,        OURS, "both values have an upper half of 0 on every path"),
    ("alu32",            width32.marks,              BOTH, "the verifier saw no 64-bit read of this 32-bit result"),
    ("spills",           spills.spills,              OURS, "nothing but whole spills and fills touches these bytes"),
    ("width32",          width32.propagate,          OURS, "no chain leads from the definition to a use of 64 bits"),
)
# fmt: on
NAMES: Final = tuple(name for name, _, _, _ in PASSES)


def check_names(without: tuple[str, ...]) -> None:
    for name in without:
        if name not in NAMES:
            raise UsageError(f"target nfp has no pass '{name}'; there are: {', '.join(NAMES)}")


def run_passes(steps: list[Step], driver: bool, without: tuple[str, ...] = ()) -> None:
    """All passes in order, except those named."""
    check_names(without)
    for name, apply, _, _ in PASSES:
        if name not in without:
            apply(steps, driver)
