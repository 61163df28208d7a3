"""An analysis that joins the state at a loop's head round after round climbs one step per iteration. *Widening* jumps: a
bound that moved goes to the next *threshold* outside it, one of the constants the program itself compares with.

Write `widen(old, new, steps)`: `old` and `new` are ranges `(umin, umax)`, `steps` the sorted thresholds. A bound that has
not moved outwards stays as in `old`. A lower bound that sank goes to the largest threshold at or below the new one (0 if
there is none), an upper bound that rose to the smallest threshold at or above it (2⁶⁴ − 1 if there is none).

Some cases run a loop with your function until it is stable and count the rounds; others put it into
`bpfbench.verify_static`, which analyses a program with a million rounds.

<details><summary>Hint</summary>The two bounds do not depend on each other. Look at the lower one alone: has it moved outwards? If
so, which threshold is the next one outside it?</details>
"""

def widen(old, new, steps):
    ### BEGIN SOLUTION
    low, high = old
    if new[0] < low:
        low = max((s for s in steps if s <= new[0]), default=0)
    if new[1] > high:
        high = min((s for s in steps if s >= new[1]), default=2**64 - 1)
    return (low, high)
    ### END SOLUTION
