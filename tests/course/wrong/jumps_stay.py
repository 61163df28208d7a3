# wrong: counts from the next instruction
def check_jumps(starts, code):
    bounds = [*starts, len(code)]
    for i, start in enumerate(starts):
        for pc in range(start, bounds[i + 1]):
            op, _, _, off, imm = code[pc]
            if op & 7 in (5, 6) and op & 0xF0 not in (0x80, 0x90):
                target = pc + (imm if op == 6 else off)
                if not start <= target < bounds[i + 1]:
                    return f"jump out of range from insn {pc} to {target}"
            if pc + 1 == bounds[i + 1] and op not in (0x95, 5, 6):
                return "last insn is not an exit or jmp"
    return ""


# wrong: jumps on 32 bits (class 6) are jumps, too
def check_jumps(starts, code):
    bounds = [*starts, len(code)]
    for i, start in enumerate(starts):
        for pc in range(start, bounds[i + 1]):
            op, _, _, off, imm = code[pc]
            if op & 7 == 5 and op & 0xF0 not in (0x80, 0x90):
                target = pc + 1 + off
                if not start <= target < bounds[i + 1]:
                    return f"jump out of range from insn {pc} to {target}"
            if pc + 1 == bounds[i + 1] and op not in (0x95, 5, 6):
                return "last insn is not an exit or jmp"
    return ""


# wrong: in the same function, not just in the program
def check_jumps(starts, code):
    for pc, (op, _, _, off, imm) in enumerate(code):
        if op & 7 in (5, 6) and op & 0xF0 not in (0x80, 0x90):
            target = pc + 1 + (imm if op == 6 else off)
            if not 0 <= target < len(code):
                return f"jump out of range from insn {pc} to {target}"
        if pc + 1 in (*starts[1:], len(code)) and op not in (0x95, 5, 6):
            return "last insn is not an exit or jmp"
    return ""
