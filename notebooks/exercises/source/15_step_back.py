'''Most numbers need not be known exactly, and what need not be known exactly need not be compared. When a check *does* depend
on a number (an offset into the stack, say), the verifier walks back along the path, instruction by instruction, to where that
number came from, and marks everything on the way as precise. It carries two sets: registers and stack slots that are
**wanted**.

Write `step_back(insn, regs, slots, slot)`: given what is wanted *after* an instruction, return `(regs, slots)`, what is wanted
*before* it. `insn` has the fields `kind`, `dst`, `src` and `constant` (the second operand is a constant, not `src`); `slot` is
the number of the stack slot that a load or store accesses, `None` if it is not the stack.

| kind | for example | note |
|---|---|---|
| `"mov"` | `r7 = r6`, `r7 = 5` | |
| `"alu"`, `"unary"` | `r7 += r6`, `r7 = -r7` | |
| `"wide"` | `r7 = 5 ll` | |
| `"load"` | `r7 = *(u64 *)(r10 -8)` | what is loaded from elsewhere than the stack starts there |
| `"store"` | `*(u64 *)(r10 -8) = r7` | if the *address* register is wanted, give up: return `None` |
| `"branch"` | `if r6 > r7 goto …` | comparing two registers ties them together |

If nothing that is wanted is written, nothing changes (but mind branches). In the engine, `None` makes every number precise.

<details><summary>Hint</summary>Where is the value that was in the destination before a `mov`, and where before an `alu`?</details>
'''

def step_back(insn, regs, slots, slot):
    ### BEGIN SOLUTION
    source = set() if insn.constant else {insn.src}
    if insn.kind == "branch":
        tied = {insn.dst, insn.src}
        return (regs | tied if not insn.constant and regs & tied else regs), slots
    if insn.kind == "store":
        if insn.dst in regs:
            return None
        return (regs | source, slots - {slot}) if slot in slots else (regs, slots)
    if insn.dst not in regs:
        return regs, slots
    match insn.kind:
        case "mov":
            return regs - {insn.dst} | source, slots
        case "alu":
            return regs | source, slots
        case "load":
            return regs - {insn.dst}, slots | ({slot} if slot is not None else set())
        case "wide":
            return regs - {insn.dst}, slots
    return regs, slots
    ### END SOLUTION
