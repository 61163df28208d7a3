"""Rules that Linux had once, and that were wrong.

Each switch of this folder puts one published verifier bug back into our engine, and only there: a wrong transfer
function (arithmetic.py), a wrong lesson from a comparison (comparisons.py), or a check that was missing, which is a
field of `Features`.  `verify(program, without=("CVE-2020-8835",))` reads: without the fix of that bug.

    SWITCHES  name -> what is put back        restore(features, name)

`bpfbench.museum` has a program for each that shows what the bug was worth.
"""

from bpfbench.verifier.history.switches import SWITCHES, restore

__all__ = ["SWITCHES", "restore"]
