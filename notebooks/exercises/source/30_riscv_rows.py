'''A machine is a table: `bpfbench/machine/rv64.py` has one row per instruction, written as the manual prints it,
highest bit first. A run of 0 and 1 is fixed, `rd:5` is an operand of five bits, and `imm[12|10:5]` places bits 12 and
10 to 5 of `imm` in this order. The rows of an addition and of a load:

```
"addi"   "imm:12 rs1:5 000 rd:5 0010011"          addi rd, rs1, imm
"ld"     "imm:12 rs1:5 011 rd:5 0000011"          ld   rd, imm(rs1)
```

Write the rows of three more instructions. Their formats (S, B and J in the manual) keep the registers where they are in
every other format, so the immediates are in pieces:

| | instruction | from the manual |
|---|---|---|
| `sd` | `sd rs2, imm(rs1)` | imm[11:5], rs2, rs1, funct3 = 011, imm[4:0], opcode 0100011 |
| `beq` | `beq rs1, rs2, imm` | imm[12], imm[10:5], rs2, rs1, funct3 = 000, imm[4:1], imm[11], opcode 1100011 |
| `jal` | `jal rd, imm` | imm[20], imm[10:1], imm[11], imm[19:12], rd, opcode 1101111 |

Your rows then take the place of the machine's own while whole programs are compiled for RISC-V.

<details><summary>Hint</summary>Each row has 32 bits. Bit 0 of a distance is nowhere: instructions are at even
addresses.
</details>
'''

def rows():
    ### BEGIN SOLUTION
    return {
        "sd": "imm[11:5] rs2:5 rs1:5 011 imm[4:0] 0100011",
        "beq": "imm[12|10:5] rs2:5 rs1:5 000 imm[4:1|11] 1100011",
        "jal": "imm[20|10:1|11|19:12] rd:5 1101111",
    }
    ### END SOLUTION
