'''Before it walks a single path, the verifier wants to know which registers matter where. For that it needs to know of each
instruction which registers it reads and which it writes.

Write `uses(insn)`: return two sets of register numbers, *(read, written)*. `insn` has the fields

* `kind`: `"mov"`, `"alu"`, `"unary"` (negation, byte order), `"load"`, `"store"`, `"wide"` (a 64-bit constant), `"branch"`,
  `"goto"`, `"call"`, `"exit"`
* `dst`, `src`: the register numbers of the instruction
* `constant`: true if the second operand is a constant instead of `src`
* `arguments`: for a call, how many arguments the function takes (they are in r1, r2, …)

<details><summary>Hint 1</summary>In `*(u64 *)(r1 +8) = r2` the address is `dst`, in `r2 = *(u64 *)(r1 +8)` it is `src`.</details>
<details><summary>Hint 2</summary>After a call, r1 to r5 hold nothing any more. What does `exit` need?</details>
'''

def uses(insn):
    ### BEGIN SOLUTION
    operand = set() if insn.constant else {insn.src}
    match insn.kind:
        case "mov":
            return operand, {insn.dst}
        case "alu":
            return operand | {insn.dst}, {insn.dst}
        case "unary":
            return {insn.dst}, {insn.dst}
        case "load":
            return {insn.src}, {insn.dst}
        case "store" | "branch":
            return operand | {insn.dst}, set()
        case "wide":
            return set(), {insn.dst}
        case "call":
            return set(range(1, 1 + insn.arguments)), {0, 1, 2, 3, 4, 5}
        case "exit":
            return {0}, set()
    return set(), set()
    ### END SOLUTION
