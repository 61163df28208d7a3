# wrong: rule packet-bounds
PROGRAM = """
    r2 = *(u32 *)(r1 +0)
    r0 = 0
    r5 = 0
next:
    r6 = *(u8 *)(r2 +0)
    r0 += r6
    r2 += 1
    r5 += 1
    if r5 < 32 goto next
    exit
"""


# wrong: the last byte is missing
PROGRAM = """
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r0 = 0
    r4 = r2
    r4 += 32
    if r4 > r3 goto out
    r5 = 1
next:
    r6 = *(u8 *)(r2 +0)
    r0 += r6
    r2 += 1
    r5 += 1
    if r5 < 32 goto next
out:
    exit
"""


# wrong: a packet of exactly 32 bytes is long enough
PROGRAM = """
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r0 = 0
    r4 = r2
    r4 += 32
    if r4 >= r3 goto out
    r5 = 0
next:
    r6 = *(u8 *)(r2 +0)
    r0 += r6
    r2 += 1
    r5 += 1
    if r5 < 32 goto next
out:
    exit
"""


# wrong: there is no loop in it
PROGRAM = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr0 = 0\nr4 = r2\nr4 += 32\nif r4 > r3 goto out\n" + "".join(
    f"r6 = *(u8 *)(r2 +{i})\nr0 += r6\n" for i in range(32)) + "out: exit"


# wrong: still walking after
PROGRAM = "r0 = 0\nr6 = 0\nnext: r6 += 1\nif r6 < 1000000 goto next\nexit"
