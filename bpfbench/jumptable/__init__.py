"""AArch64 jump tables: recover them exactly, rewrite them safely.

The modules follow the points of the post that asks for it, in order:

    0, 1  image functions guess        what the binary is; a guess about each indirect branch, without a graph
    2, 8  cfg slicing values           the formula of a branch register, over split snippets
    3     entries                      from formula and bytes to targets
    4     ranges sizes                 how many entries
    1     verify recover tables        the graph, the rules, the fixed point; what comes out
    7     layout rewrite instrument    moving blocks, widening tables, counting
    S     note annotate                the records a compiler could write
"""

from .recover import recover
from .tables import Branch, JumpTable, JumpTables

__all__ = ["Branch", "JumpTable", "JumpTables", "recover"]
