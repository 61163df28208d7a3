# wrong: rounded up to 8 bytes
def prologue(stack, used):
    lines = ["endbr64", "nop5", "nop3", "push rbp", "mov rbp, rsp", "endbr64"]
    lines += [f"sub rsp, {stack}"] if stack else []
    return lines + [f"push {r}" for n, r in zip((6, 7, 8, 9), ("rbx", "r13", "r14", "r15")) if n in used]


# wrong: only registers that the function uses
def prologue(stack, used):
    lines = ["endbr64", "nop5", "nop3", "push rbp", "mov rbp, rsp", "endbr64"]
    lines += [f"sub rsp, {(stack + 7) // 8 * 8}"] if stack else []
    return lines + ["push rbx", "push r13", "push r14", "push r15"]


# wrong: saved registers are below it
def prologue(stack, used):
    lines = ["endbr64", "nop5", "nop3", "push rbp", "mov rbp, rsp", "endbr64"]
    lines += [f"push {r}" for n, r in zip((6, 7, 8, 9), ("rbx", "r13", "r14", "r15")) if n in used]
    return lines + ([f"sub rsp, {(stack + 7) // 8 * 8}"] if stack else [])


# wrong: nothing to subtract
def prologue(stack, used):
    lines = ["endbr64", "nop5", "nop3", "push rbp", "mov rbp, rsp", "endbr64", f"sub rsp, {(stack + 7) // 8 * 8}"]
    return lines + [f"push {r}" for n, r in zip((6, 7, 8, 9), ("rbx", "r13", "r14", "r15")) if n in used]
