"""The museum: published bugs of the Linux verifier and of its code generators, each with a program that shows it.

A *piece* is a bug with a name, a small program of our own, and an input for it.  Four things can be done with one:

    accept      verify the program with the fix switched off: the faulty verifier accepts it
    contradict  run it: at some instruction a register holds what no state of that verifier allows, and then it traps
    reject      verify it with the rule as it should be: refused, with the kernel's message
    ask         the running kernel, which has the fix

A code generator's piece is a program that the verifier rightly accepts; it is compiled twice, as before and as after
the fix, and run under emulation beside the interpreter.

>>> from bpfbench import museum
>>> piece = museum.piece("CVE-2020-8835")
>>> piece.faulty.accepted, piece.fixed.accepted
(True, False)
>>> piece.contradiction.register, piece.contradiction.value
(6, 2)

The rules themselves are in `verifier/history/` and `jit/history.py`: switches of our engine, and of nothing else.
"""

from bpfbench.museum.codegen import CodegenPiece
from bpfbench.museum.collection import PIECES, names, piece
from bpfbench.museum.contradiction import Contradiction
from bpfbench.museum.piece import Piece, VerifierPiece

__all__ = ["PIECES", "CodegenPiece", "Contradiction", "Piece", "VerifierPiece", "names", "piece"]
