'''Write an XDP program, as assembly in the text `PROGRAM`, that returns in r0 the **destination port of a UDP packet over
IPv4**, as a number (53 for DNS), and 0 for every other packet. Packets whose IPv4 header has options count as others.

    offset   0       6       12    14                23             34        36
             | dst   | src   | type | 45 …           | protocol …   | src port | dst port | length | checksum
             Ethernet        0800   IPv4 (20 bytes)    17 = UDP       UDP (8 bytes)

Two bytes make a number in *network order*, the high one first; a load on the machines we care about takes the low one first.
`r2 = be16 r2` swaps them. `r1` is the context: the packet's start is at `r1 + 0`, its end at `r1 + 4` (loads of 32 bits).

<details><summary>Hint 1</summary>One comparison with the end suffices, if it is made for all the bytes that you will need.</details>
<details><summary>Hint 2</summary>The first byte of an IPv4 header without options is 0x45.</details>
'''

PROGRAM = """
### BEGIN SOLUTION
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
    r0 = be16 r0
out:
    exit
### END SOLUTION
"""
