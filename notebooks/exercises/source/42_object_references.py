'''A compiled object does not know where its functions, maps and data will be. For each instruction that names one, a
*relocation* says which **symbol** it refers to; what stands in the instruction's field `imm` already is a part of it,
too (relocations of eBPF are of the kind REL). The same place can be named in two ways: by the symbol of the function,
map or variable, or by the symbol of its whole section and a distance.

| instruction | `R_BPF_…` | what it refers to |
|---|---|---|
| call of a function | `64_32` | the *slot* in the section (of 8 bytes); `imm` counts slots from the next instruction |
| wide load of a map, of data | `64_64` | the *byte* in the section; `imm` is a number of bytes |

Write `refers(insn, imm, symbol)`: `insn` is `"call"` or `"load"`; `symbol` is a dict with its `kind` (`FUNC`, `OBJECT`,
`SECTION`), its `value` (the byte in its section; 0 for a section) and the name of its `section`. Return the slot, or
the byte, in that section.

With your function the linker then joins whole programs out of objects.

<details><summary>Hint</summary>The compiler writes −1 into a call of a global function, so that nothing is added to the
symbol's value. Both ways to name a function go through the same formula.</details>
'''

def refers(insn, imm, symbol):
    ### BEGIN SOLUTION
    if insn == "call":
        return symbol["value"] // 8 + imm + 1
    return symbol["value"] + imm
    ### END SOLUTION
