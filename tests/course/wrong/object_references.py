# wrong: from the next instruction
def refers(insn, imm, symbol):
    return symbol["value"] // 8 + imm if insn == "call" else symbol["value"] + imm


# wrong: a call counts slots of 8 bytes
def refers(insn, imm, symbol):
    return symbol["value"] + imm + 1 if insn == "call" else symbol["value"] + imm


# wrong: a part of it
def refers(insn, imm, symbol):
    return symbol["value"] // 8 if insn == "call" else symbol["value"]
