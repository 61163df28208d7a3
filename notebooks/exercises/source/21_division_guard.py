'''In eBPF `x / 0` is 0 and `x % 0` is `x`; most processors trap instead. So the kernel, after it has verified a program, puts a
guard before each division by a register. No instruction may change any register that the division would not.

Write `guard(op, wide, dst, src)`: `op` is `"/"` or `"%"`; `wide` is true for 64 bits (`r1 /= r2`), false for 32 (`w1 /= w2`).
Return the lines of assembly that take the place of the division, the division among them, as the kernel writes them:

* `/`: if the divisor is not 0, go to the division; else clear the destination with `w1 ^= w1` and jump over the division
* `%` on 64 bits: if the divisor is 0, jump over the division
* `%` on 32 bits: like this, but every operation on 32 bits clears the upper half of its destination; if the division is left out,
  `w1 = w1` has to do it (and is jumped over otherwise)

Conditions look like `if r2 != 0 goto +2` and `if w2 != 0 goto +2`; a distance counts from the next instruction.

<details><summary>Hint</summary>A division on 32 bits divides by the low half of the register. Which register does the condition have to
test, `r2` or `w2`?</details>
'''

def guard(op, wide, dst, src):
    ### BEGIN SOLUTION
    r = "r" if wide else "w"
    divide = f"{r}{dst} {op}= {r}{src}"
    if op == "/":
        return [f"if {r}{src} != 0 goto +2", f"w{dst} ^= w{dst}", "goto +1", divide]
    if wide:
        return [f"if {r}{src} == 0 goto +1", divide]
    return [f"if {r}{src} == 0 goto +2", divide, "goto +1", f"w{dst} = w{dst}"]
    ### END SOLUTION
