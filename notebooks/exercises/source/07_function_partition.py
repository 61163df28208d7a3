'''The verifier first cuts the program into functions. A function starts at slot 0, at the destination of each call of a
function, and at each function whose address a wide load takes (a *callback*, which a helper will call).

Write `function_starts(code)`. `code` has one tuple `(op, dst, src, off, imm)` per slot, as on the wire:

| instruction | `op` | `src` |
|---|---|---|
| call of a function of the program | `0x85` | 1 |
| call of a helper | `0x85` | 0 |
| wide load of a function's address (two slots) | `0x18` | 4 |
| wide load of a number (two slots) | `0x18` | 0 |

The second slot of a wide load is `(0, 0, 0, 0, …)`. Return the sorted list of starts, or `None` if one of them is outside the
program: the kernel then says *call to invalid destination*.

<details><summary>Hint</summary>Both kinds name their function as a distance from the *next* slot.</details>
'''

def function_starts(code):
    ### BEGIN SOLUTION
    starts = {0}
    for pc, (op, dst, src, off, imm) in enumerate(code):
        if op == 0x85 and src == 1 or op == 0x18 and src == 4:
            target = pc + imm + 1
            if not 0 <= target < len(code):
                return None
            starts.add(target)
    return sorted(starts)
    ### END SOLUTION
