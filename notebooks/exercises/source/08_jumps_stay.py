'''A rule of the verifier, as it is checked before any path is walked: *jumps stay in their function, and no function runs on
into the next one.*

Write `check_jumps(starts, code)`. `starts` is the sorted list of functions' first slots; `code` has one tuple
`(op, dst, src, off, imm)` per slot. Go through the slots in order and return the message for the first offence:

* a jump whose target is outside its function: `jump out of range from insn 3 to 9`
* a function whose last slot is neither `exit` nor an unconditional jump: `last insn is not an exit or jmp`

or `""` if there is none. The class of an instruction is `op & 7`, the operation `op & 0xF0`:

| what | class | operation |
|---|---|---|
| conditional jump on 64 bits, on 32 bits | 5, 6 | all others |
| `goto`: by `off` | 5 (`op` 0x05) | 0x00 |
| `gotol`: by `imm` | 6 (`op` 0x06) | 0x00 |
| call | 5 | 0x80 |
| exit | 5 (`op` 0x95) | 0x90 |

<details><summary>Hint</summary>A distance counts from the slot after the jump. For a slot that breaks both rules, the first comes
first.</details>
'''

def check_jumps(starts, code):
    ### BEGIN SOLUTION
    ends = [*starts[1:], len(code)]
    for pc, (op, dst, src, off, imm) in enumerate(code):
        function = max(i for i, start in enumerate(starts) if start <= pc)
        if op & 7 in (5, 6) and op & 0xF0 not in (0x80, 0x90):
            target = pc + 1 + (imm if op == 0x06 else off)
            if not starts[function] <= target < ends[function]:
                return f"jump out of range from insn {pc} to {target}"
        if pc == ends[function] - 1 and op not in (0x95, 0x05, 0x06):
            return "last insn is not an exit or jmp"
    return ""
    ### END SOLUTION
