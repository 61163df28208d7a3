'''Write an XDP program, as assembly in the text `PROGRAM`, that returns in r0 the **sum of the first 32 bytes of the packet**, or
0 if the packet is shorter. It has to be a loop (not 32 loads one after the other), of at most 24 slots, and the verifiers of
Linux 6.1 and 6.18 have to accept it.

The verifier walks around your loop until it ends, so it has to see that it ends; and it has to know at each load that the byte
is there. `r1` is the context: the packet's start is at `r1 + 0`, its end at `r1 + 4` (loads of 32 bits). What the text may look
like:

    r2 = *(u32 *)(r1 +0)
    again: r0 += 1
    if r0 < 10 goto again
    exit

<details><summary>Hint 1</summary>Compare the packet's start plus 32 with its end once, before the loop.</details>
<details><summary>Hint 2</summary>Move the pointer by one in each round: the verifier follows a pointer plus a *known* number exactly.
What it should not need is an offset it does not know.</details>
'''

PROGRAM = """
### BEGIN SOLUTION
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r0 = 0
    r4 = r2
    r4 += 32
    if r4 > r3 goto out
    r5 = 0
next:
    r6 = *(u8 *)(r2 +0)
    r0 += r6
    r2 += 1
    r5 += 1
    if r5 < 32 goto next
out:
    exit
### END SOLUTION
"""
