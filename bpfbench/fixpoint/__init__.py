"""A second verifier: abstract interpretation over the control-flow graph.

Where the path walk (`verifier/`) executes paths, this one computes *invariants*: what holds at each block whatever path
led there, as the least solution of equations between blocks.

    values   numbers and pointers          cells     the stack            zones      differences of numbers
    state    all of it                     covers, joins  the order       widening   thresholds
    step     one block                     wto, iterate   until stable    verify     the verdict

It shares with `verifier/` what is no walk: the number domain (tnum, scalar, bounds, refine, transfer) and the tables of
contexts, helpers, program types and value types; nothing else (tests/test_layers.py).
"""

from bpfbench.fixpoint.verify import FixpointVerification, Invariant, Rejection, Statistics, verify_static

__all__ = ["FixpointVerification", "Invariant", "Rejection", "Statistics", "verify_static"]
