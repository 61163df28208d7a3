# wrong: what was in it before does not matter any more
def step_back(insn, regs, slots, slot):
    source = set() if insn.constant else {insn.src}
    if insn.kind == "branch":
        both = {insn.dst, insn.src}
        return (regs | both if not insn.constant and regs & both else regs), slots
    if insn.kind == "store":
        if insn.dst in regs:
            return None
        return (regs | source, slots - {slot}) if slot in slots else (regs, slots)
    if insn.dst not in regs:
        return regs, slots
    if insn.kind in ("mov", "alu"):
        return regs | source, slots
    if insn.kind == "load":
        return regs - {insn.dst}, slots | ({slot} if slot is not None else set())
    return (regs - {insn.dst} if insn.kind == "wide" else regs), slots


# wrong: arithmetic needs the old value
def step_back(insn, regs, slots, slot):
    source = set() if insn.constant else {insn.src}
    if insn.kind == "branch":
        both = {insn.dst, insn.src}
        return (regs | both if not insn.constant and regs & both else regs), slots
    if insn.kind == "store":
        if insn.dst in regs:
            return None
        return (regs | source, slots - {slot}) if slot in slots else (regs, slots)
    if insn.dst not in regs or insn.kind == "unary":
        return regs, slots
    if insn.kind in ("mov", "alu"):
        return regs - {insn.dst} | source, slots
    return regs - {insn.dst}, slots | ({slot} if slot is not None and insn.kind == "load" else set())


# wrong: a comparison of two registers ties them together
def step_back(insn, regs, slots, slot):
    source = set() if insn.constant else {insn.src}
    if insn.kind == "branch":
        return regs, slots
    if insn.kind == "store":
        if insn.dst in regs:
            return None
        return (regs | source, slots - {slot}) if slot in slots else (regs, slots)
    if insn.dst not in regs or insn.kind == "unary":
        return regs, slots
    if insn.kind == "alu":
        return regs | source, slots
    if insn.kind == "mov":
        return regs - {insn.dst} | source, slots
    return regs - {insn.dst}, slots | ({slot} if slot is not None and insn.kind == "load" else set())
