'''The smallest compiler turns a number into a function that returns it. Its work is to put bits where the manual says:

| machine | instruction | its bits |
|---|---|---|
| `x86_64` | `mov eax, imm32` | byte `b8`, then the 4 bytes of the number |
| | `ret` | byte `c3` |
| `aarch64` | `movz w0, #imm16` | `0x52800000`, the constant at bits 20:5; the other bits of w0 become 0 |
| | `movk w0, #imm16, lsl 16` | `0x72a00000`, the constant at bits 20:5; replaces bits 31:16 of w0 |
| | `ret` | `0xd65f03c0` |
| `riscv64` | `lui a0, imm20` | `0x00000537`, the constant at bits 31:12; a0 = constant · 4096 |
| | `addiw a0, a0, imm12` | `0x0005051b`, the constant at bits 31:20, **with sign**; added to a0 (32 bits) |
| | `ret` (`jalr zero, 0(ra)`) | `0x00008067` |

Words of 4 bytes, as well as the number on x86-64, are little endian: the lowest byte comes first.

Write `code(target, value)`: a list with the bytes of each instruction (`bytes`), such that the function returns `value`,
a number between −2³¹ and 2³¹ − 1. Use the instructions of the table.

`Hello` then writes your instructions. They are read by bpfbench's decoder and run by an emulated machine, never by yours.

<details><summary>Hint 1</summary><code>value & 0xffffffff</code> is the number in two's complement;
<code>word.to_bytes(4, "little")</code> are the bytes of a word.</details>
<details><summary>Hint 2</summary>On RISC-V, try 0xfff by hand: the 12 bits are those of −1. What has lui to load, so that
the sum is right?</details>
'''

def code(target, value):
    ### BEGIN SOLUTION
    value &= 0xFFFFFFFF
    low, high = value & 0xFFFF, value >> 16
    if target == "x86_64":
        return [b"\xb8" + value.to_bytes(4, "little"), b"\xc3"]
    if target == "aarch64":
        words = [0x52800000 | low << 5, 0x72A00000 | high << 5, 0xD65F03C0]
    else:
        upper = (value + 0x800) >> 12 & 0xFFFFF
        words = [0x537 | upper << 12, 0x5051B | (value & 0xFFF) << 20, 0x8067]
    return [word.to_bytes(4, "little") for word in words]
    ### END SOLUTION
