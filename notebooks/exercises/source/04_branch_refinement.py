"""After `if r1 < r2 goto L`, both ways teach something about *both* registers. You get two numbers `a` and `b` of the real
engine (fields `umin`, `umax`, `smin`, `smax`) and the operator that is now known to be true: `"<"`, `"<="` (unsigned),
`"s<"` or `"s<="` (signed).

Write `refine_less(a, b, op)`. It changes the fields of `a` and `b` in place; unsigned operators the unsigned ones, signed
operators the signed ones. A bound only ever gets tighter.

<details><summary>Hint</summary>From `a < b`: `a` is at most `b.umax - 1`, and `b` is at least `a.umin + 1`.</details>
"""

def refine_less(a, b, op):
    ### BEGIN SOLUTION
    step = 0 if "=" in op else 1
    if op[0] == "s":
        a.smax = min(a.smax, b.smax - step)
        b.smin = max(b.smin, a.smin + step)
    else:
        a.umax = min(a.umax, b.umax - step)
        b.umin = max(b.umin, a.umin + step)
    ### END SOLUTION
