'''A function of RISC-V code calls another one, up to 2 GiB away, with two instructions:

```
auipc t1, high          t1 = address of this instruction + (high << 12)
jalr  ra, low(t1)       goes to t1 + low
```

`high` is a field of 20 bits, and what it makes (32 bits) has a sign; `low` has 12 bits, *with a sign*: −2048 to 2047.
A code generator that compiles one function at a time does not know the distance. It is filled in when all functions
have their places: the code is generated once more, and your function links the calls.

Write `split(distance)`: the numbers `(high, low)` that go `distance` bytes, `high` as the 20 bits of the field (0 to
0xfffff).

<details><summary>Hint</summary>Where <code>low</code> is negative, <code>high</code> has to be one more than the upper
bits of the distance. Adding half of 4096 before the shift does that.</details>
'''

def split(distance):
    ### BEGIN SOLUTION
    high = (distance + 0x800) >> 12
    return (high & 0xFFFFF, distance - (high << 12))
    ### END SOLUTION
