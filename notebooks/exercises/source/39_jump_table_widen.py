'''When the blocks of a function change places, its jump tables have to follow. A compiler's table has entries of one or
two bytes, in instructions rather than bytes, and what has moved may be too far for them. So a rewriter writes a new
table with entries of **four bytes, with sign, in bytes**, and keeps the anchor where it was:

```
before     old target = anchor + (entry << shift)         entry of `size` bytes, with a sign if `signed`
after      new target = anchor + entry                    entry of 4 bytes, lowest byte first
```

Write `widen(raw, size, signed, shift, anchor, moved)`. `raw` are the bytes of the old table, `moved` is a dict from the
old address of each target to its new one. Return the bytes of the new table, which has as many entries as the old one.

Your function then writes the tables of whole programs whose blocks have been put into the opposite order, and recovery
looks for them again.

<details><summary>Hint</summary><code>int.from_bytes(raw[i:i + size], "little", signed=signed)</code></details>
'''

def widen(raw, size, signed, shift, anchor, moved):
    ### BEGIN SOLUTION
    out = b""
    for i in range(0, len(raw), size):
        entry = int.from_bytes(raw[i:i + size], "little", signed=signed)
        out += (moved[anchor + (entry << shift)] - anchor).to_bytes(4, "little", signed=True)
    return out
    ### END SOLUTION
