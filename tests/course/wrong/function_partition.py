# wrong: pc + imm + 1
def function_starts(code):
    starts = {0}
    for pc, (op, _, src, _, imm) in enumerate(code):
        if op == 0x85 and src == 1 or op == 0x18 and src == 4:
            if not 0 <= pc + imm < len(code):
                return None
            starts.add(pc + imm)
    return sorted(starts)


# wrong: whose address is taken
def function_starts(code):
    starts = {0} | {pc + imm + 1 for pc, (op, _, src, _, imm) in enumerate(code) if op == 0x85 and src == 1}
    return None if max(starts) >= len(code) or min(starts) < 0 else sorted(starts)


# wrong: the program itself is function 0
def function_starts(code):
    starts = {pc + imm + 1 for pc, (op, _, src, _, imm) in enumerate(code) if (op, src) in ((0x85, 1), (0x18, 4))}
    return None if any(not 0 <= s < len(code) for s in starts) else sorted(starts)
