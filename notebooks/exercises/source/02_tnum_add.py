"""A *tnum* `(value, mask)` says of each of 64 bits that it is 0, 1, or unknown: a bit set in `mask` is unknown, every other
bit is the one in `value`, and `value & mask == 0`. So `(8, 5)` stands for 8, 9, 12 and 13.

Write `tnum_add(a, b)`: the tnum that holds every sum of a member of `a` and a member of `b`, modulo 2⁶⁴, and knows as many
bits as Linux's `tnum_add` does. Your function then takes the place of the engine's, and whole programs are verified with
it.

<details><summary>Hint 1</summary>The smallest sum takes 0 for every unknown bit, the largest takes 1.</details>
<details><summary>Hint 2</summary>A bit in which the smallest and the largest sum differ may have been changed by a carry.
What else makes a bit unknown?</details>
"""

def tnum_add(a, b):
    ### BEGIN SOLUTION
    whole = (1 << 64) - 1
    low = (a[0] + b[0]) & whole
    high = (low + a[1] + b[1]) & whole
    unknown = (low ^ high) | a[1] | b[1]
    return (low & ~unknown, unknown)
    ### END SOLUTION
