"""Long multiplication as at school, in binary, with bits that may be unknown. Since 6.18 Linux does it so: start with the
known number 0; for each bit of `a`, from the lowest, with `b` moved along,

* bit 1: add `b`;
* bit 0: nothing;
* bit unknown: the result may be either: the *union* of both outcomes.

Write `tnum_mul(a, b)` for tnums of 64 bits. `bpfbench.verifier.tnum` has `add`, `union`, `lsh` and `rsh`; both operands
known is a case of its own.

<details><summary>Hint</summary>Stop as soon as nothing of `a` is left, known or unknown. `lsh` cuts to 64 bits.</details>
"""

from bpfbench.verifier import tnum


def tnum_mul(a, b):
    ### BEGIN SOLUTION
    if not a[1] and not b[1]:
        return ((a[0] * b[0]) % 2**64, 0)
    total = (0, 0)
    while a[0] or a[1]:
        if a[0] & 1:
            total = tnum.add(total, b)
        elif a[1] & 1:
            total = tnum.union(total, tnum.add(total, b))
        a, b = tnum.rsh(a, 1), tnum.lsh(b, 1)
    return total
    ### END SOLUTION
