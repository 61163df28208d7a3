'''Debug information is full of small numbers, so DWARF writes them in as few bytes as they need (LEB128): seven bits in
a byte, the lowest first; bit 7 says that another byte follows.

```
300 = 10 0101100        0xac 0x02          1.0101100  0.0000010
```

A number with sign is written in the same way, in two's complement. It may end where the reader gets the rest by
repeating bit 6 of the last byte: −2 is `0x7e` (`0.1111110`), but 64 needs two bytes, for `0.1000000` would be −64.

Write `leb128(value, signed)`: the bytes, as few as possible. Your function then writes the debug information of whole
programs.

<details><summary>Hint</summary>In Python <code>value &gt;&gt; 7</code> keeps the sign: a negative number ends at −1, a
positive one at 0.</details>
'''

def leb128(value, signed):
    ### BEGIN SOLUTION
    out = []
    while True:
        byte, value = value & 127, value >> 7
        rest = -1 if signed and byte & 64 else 0
        if value == rest:
            return bytes([*out, byte])
        out.append(byte | 128)
    ### END SOLUTION
