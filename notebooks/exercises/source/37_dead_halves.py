'''The NFP has registers of 32 bits. Each half of an eBPF register costs an instruction, and many upper halves are never
read.
*Define-use chains* tell which: they link every use of a register to the definitions that may have written it.

Write `needed(kinds, definitions_of)`. A *place* is `(index, register)`: the number of an instruction and a register
that it reads (a use) or writes (a definition).

* `kinds` says of each use what it needs:
  `"never"` the upper half (an operation on 32 bits, a store of four bytes), `"always"` (a comparison of 64 bits, a store of
  eight bytes), or `"result"`: the upper half of the operand goes into the upper half of the result, and nowhere else
  (`r5 += r6`, `r7 = r5`).
* `definitions_of` gives for each use the indices of the definitions that may reach it; −1 is the caller.

Return the set of definitions, as places, whose upper half somebody needs. The code generator leaves out all others.

<details><summary>Hint 1</summary>Begin with the uses of kind <code>"always"</code>. All definitions that reach such a
use are needed.</details>
<details><summary>Hint 2</summary>When a definition becomes needed for the first time, its instruction's own uses of
kind
<code>"result"</code> are needed: a list of work that ends when nothing new comes.</details>
'''

def needed(kinds, definitions_of):
    ### BEGIN SOLUTION
    found = set()
    work = [use for use, kind in kinds.items() if kind == "always"]
    while work:
        use = work.pop()
        for index in definitions_of[use]:
            if (index, use[1]) not in found:
                found.add((index, use[1]))
                work += [other for other, kind in kinds.items() if other[0] == index and kind == "result"]
    return found
    ### END SOLUTION
