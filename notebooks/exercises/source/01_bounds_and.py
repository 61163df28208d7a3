"""The verifier keeps for every number its known bits `(value, mask)` (a bit set in `mask` is unknown) and an unsigned range
`umin … umax`. Programs cut numbers down with `&`: `r2 &= 15` makes any number fit for a table of 16 entries, and the
verifier has to see that.

Write `and_bounds(a, b)`. Each operand is `(value, mask, umin, umax)`; return `(umin, umax)` of `a & b`, as Linux computes
it (`scalar_min_max_and`): the lower bound from the bits that are surely 1, the upper bound from the ranges.

<details><summary>Hint</summary>A bit of the result is surely 1 only where both operands surely have it; and `a & b` is
never more than either of them.</details>
"""

def and_bounds(a, b):
    ### BEGIN SOLUTION
    return (a[0] & b[0], min(a[3], b[3]))
    ### END SOLUTION
