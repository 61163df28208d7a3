'''An instruction of eBPF is a slot of eight bytes:

```
byte 0       1         2  3       4  5  6  7
     op      src dst   off        imm
```

`op` is unsigned, `off` (16 bits) and `imm` (32 bits) are signed. The registers are half a byte each. On a little-endian
machine the lowest byte of `off` and `imm` comes first, and the destination is in the lower half of byte 1. On a
big-endian machine the highest byte comes first, and the destination is in the upper half.

Write `fields(raw, big)`: the tuple `(op, dst, src, off, imm)` of eight bytes; `big` is true for big endian. Your
function then reads whole programs.

<details><summary>Hint</summary><code>int.from_bytes(raw[2:4], "little", signed=True)</code></details>
'''

def fields(raw, big):
    ### BEGIN SOLUTION
    order = "big" if big else "little"
    upper, lower = raw[1] >> 4, raw[1] & 15
    dst, src = (upper, lower) if big else (lower, upper)
    off = int.from_bytes(raw[2:4], order, signed=True)
    return raw[0], dst, src, off, int.from_bytes(raw[4:8], order, signed=True)
    ### END SOLUTION
