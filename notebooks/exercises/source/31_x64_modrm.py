'''On x86-64 an operand in memory, `[base + disp]`, is a byte *ModRM*, sometimes a byte *SIB*, and the displacement:

```
ModRM   mod:2 reg:3 rm:3        mod 01: 8 bits of displacement follow      mod 10: 32 bits follow
SIB     scale:2 index:3 base:3  index 100: no index
```

`reg` is the other operand (or a part of the opcode); `rm` is the base. Registers have numbers 0 to 15, and only their
lower three bits are here; the fourth is in the REX byte, which the engine writes.

One value of `rm` does not mean what it says: 100 means that a SIB byte follows, which then has the base.

Write `memory_operand(reg, base, disp)`: the bytes from ModRM on. `reg` has three bits, `base` is 0 to 15 (4 is rsp),
`disp` is signed. Linux always writes a displacement: of 8 bits if it fits, else of 32, lowest byte first.

<details><summary>Hint</summary>Whether a SIB byte is needed is a question about the lower three bits of
`base`.</details>
<details><summary>Hint 2</summary><code>disp.to_bytes(4, "little", signed=True)</code></details>
'''

def memory_operand(reg, base, disp):
    ### BEGIN SOLUTION
    size, mod = (1, 1) if -128 <= disp <= 127 else (4, 2)
    out = [mod << 6 | reg << 3 | base & 7]
    if base & 7 == 4:
        out.append(4 << 3 | 4)
    return bytes(out) + disp.to_bytes(size, "little", signed=True)
    ### END SOLUTION
