# wrong: network byte order
PROGRAM = """
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r0 = 0
    r4 = r2
    r4 += 42
    if r4 > r3 goto out
    r5 = *(u16 *)(r2 +12)
    if r5 != 8 goto out
    r5 = *(u8 *)(r2 +14)
    if r5 != 69 goto out
    r5 = *(u8 *)(r2 +23)
    if r5 != 17 goto out
    r0 = *(u16 *)(r2 +36)
out:
    exit
"""


# wrong: this is TCP
PROGRAM = """
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r0 = 0
    r4 = r2
    r4 += 42
    if r4 > r3 goto out
    r5 = *(u16 *)(r2 +12)
    if r5 != 8 goto out
    r5 = *(u8 *)(r2 +14)
    if r5 != 69 goto out
    r0 = *(u16 *)(r2 +36)
    r0 = be16 r0
out:
    exit
"""


# wrong: with data_end on the way to every access
PROGRAM = """
    r2 = *(u32 *)(r1 +0)
    r0 = *(u16 *)(r2 +36)
    r0 = be16 r0
    exit
"""
