# wrong: an unknown bit of a is treated as 1
from bpfbench.verifier import tnum


def tnum_mul(a, b):
    total = (0, 0)
    while a[0] or a[1]:
        if (a[0] | a[1]) & 1:
            total = tnum.add(total, b)
        a, b = tnum.rsh(a, 1), tnum.lsh(b, 1)
    return total


# wrong: less is known than long multiplication finds
def tnum_mul(a, b):
    if not a[1] and not b[1]:
        return (a[0] * b[0] % 2**64, 0)
    return (0, 2**64 - 1)
