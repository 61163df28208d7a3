'''Before the first instruction of a function the JIT emits a *prologue*: it makes the frame. On x86-64, for a kernel
with indirect branch tracking and a program without tail calls:

| | |
|---|---|
| `endbr64` | a place where an indirect call may arrive |
| `nop5` | five bytes that the kernel can turn into a call, for tracing |
| `nop3` | three bytes that would clear the tail-call counter |
| `push rbp` | the caller's frame pointer |
| `mov rbp, rsp` | rbp holds r10 |
| `endbr64` | a tail call may arrive here |
| `sub rsp, N` | the stack of the program; nothing if it has none |
| `push …` | the callee-saved registers that the function uses, in the order of the eBPF registers they hold |

r6, r7, r8 and r9 are held in rbx, r13, r14 and r15.

Write `prologue(stack, used)`: `stack` is the number of bytes of stack that the program uses, `used` the set of eBPF
registers it mentions. Return the list of lines. N is `stack`, rounded up so that what is pushed is aligned to 8 bytes.

<details><summary>Hint</summary>Round up with <code>(stack + 7) // 8 * 8</code>.</details>
'''

def prologue(stack, used):
    ### BEGIN SOLUTION
    lines = ["endbr64", "nop5", "nop3", "push rbp", "mov rbp, rsp", "endbr64"]
    if stack:
        lines.append(f"sub rsp, {(stack + 7) // 8 * 8}")
    holds = {6: "rbx", 7: "r13", 8: "r14", 9: "r15"}
    return lines + [f"push {holds[number]}" for number in (6, 7, 8, 9) if number in used]
    ### END SOLUTION
