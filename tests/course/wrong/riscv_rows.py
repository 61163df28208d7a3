# wrong: bit 20, then 10 to 1
def rows():
    return {"sd": "imm[11:5] rs2:5 rs1:5 011 imm[4:0] 0100011",
            "beq": "imm[12|10:5] rs2:5 rs1:5 000 imm[4:1|11] 1100011",
            "jal": "imm[20:1] rd:5 1101111"}


# wrong: stands above rs1
def rows():
    return {"sd": "imm[11:5] rs1:5 rs2:5 011 imm[4:0] 0100011",
            "beq": "imm[12|10:5] rs2:5 rs1:5 000 imm[4:1|11] 1100011",
            "jal": "imm[20|10:1|11|19:12] rd:5 1101111"}


# wrong: the pattern has 31 bits
def rows():
    return {"sd": "imm[11:5] rs2:5 rs1:5 011 imm[4:0] 0100011",
            "beq": "imm[12|10:5] rs2:5 rs1:5 000 imm[4:1] 1100011",
            "jal": "imm[20|10:1|11|19:12] rd:5 1101111"}


# wrong: bit 11 of a branch's distance
def rows():
    return {"sd": "imm[11:5] rs2:5 rs1:5 011 imm[4:0] 0100011",
            "beq": "imm[12:6] rs2:5 rs1:5 000 imm[5:1] 1100011",
            "jal": "imm[20|10:1|11|19:12] rd:5 1101111"}
