'''An instruction of AArch64 has 32 bits, so a constant of 64 bits takes several. Three instructions write 16 bits at a
`shift` of 0, 16, 32 or 48:

| | the register afterwards |
|---|---|
| `("movz", n, shift)` | `n << shift`: all other bits are 0 |
| `("movn", n, shift)` | the complement of `n << shift`: all other bits are 1 |
| `("movk", n, shift)` | as before, but for the 16 bits at `shift`, which are `n` |

Write `build(value)` for values of more than 32 bits: the list of instructions that Linux's JIT emits.

* It starts from ones if more of the four 16-bit blocks are `0xffff` than are 0, else from zeros.
* The first instruction sets the highest block that differs from the start; `movk` sets the other blocks that differ,
  from the highest to the lowest.

Your function then writes the constants of whole programs.

<details><summary>Hint</summary>After <code>movn</code> the block itself has the complement of <code>n</code>.</details>
'''

def build(value):
    ### BEGIN SOLUTION
    blocks = [(value >> shift & 0xFFFF, shift) for shift in (48, 32, 16, 0)]
    ones = sum(block == 0xFFFF for block, _ in blocks) > sum(block == 0 for block, _ in blocks)
    rest = 0xFFFF if ones else 0
    (first, at), *more = [(block, shift) for block, shift in blocks if block != rest]
    start = ("movn", first ^ 0xFFFF, at) if ones else ("movz", first, at)
    return [start] + [("movk", block, shift) for block, shift in more]
    ### END SOLUTION
