# wrong: paths are pruned where they meet
def many_paths(least):
    lines = ["r2 = *(u32 *)(r1 +16)", "r0 = 0"]
    for bit in range(14):
        lines += [f"if r2 & {1 << bit} goto +1", "r0 = 1"]
    return "\n".join([*lines, "if r0 > 99 goto +0", "r0 = 0", "exit"])


# wrong: without loops
def many_paths(least):
    return f"r0 = 0\nagain: r0 += 1\nif r0 < {least} goto again\nexit"


# wrong: still walking after
def many_paths(least):
    lines = ["r2 = *(u32 *)(r1 +16)", "r0 = 0"]
    for bit in range(20):
        lines += [f"if r2 & {1 << bit} goto +1", f"r0 += {1 << bit}"]
    return "\n".join([*lines, "if r0 > 99 goto +0", "exit"])


# wrong: 64 are allowed
def many_paths(least):
    return "r0 = 0\n" * least + "exit" if least < 600 else "r0 = 0\n" * 500 + "exit"
