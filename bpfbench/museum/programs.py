"""The programs on show, as text.  All follow one plan:

    PACKET    fetch three 64-bit numbers from the packet into r6, r7, r8: for the verifier they may be anything
    …         the instructions that the faulty rule gets wrong; they leave in r9 what is "known" to be 0
    STORE     r9 * 4096 is added to a stack pointer, and a byte is stored there

A number known to be 0 may be added to anything, so the faulty verifier accepts; the true r9 is not 0, and the store
misses the stack by a page.  Comments give what the faulty kernel believes on the left, and what is true on the right.
"""

from __future__ import annotations

from typing import Final

PACKET: Final = """
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r4 = r2
        r4 += 24
        if r4 > r3 goto out
        r6 = *(u64 *)(r2 + 0)
        r7 = *(u64 *)(r2 + 8)
        r8 = *(u64 *)(r2 + 16)
"""
STORE: Final = """
        r9 <<= 12
        r1 = r10
        r1 += -8
        r1 += r9
        r0 = 0
        *(u8 *)(r1 + 0) = r0
out:    r0 = 1
        exit
"""


def words(*values: int) -> bytes:
    """A packet of 64 bytes that begins with these 64-bit numbers."""
    return b"".join([(v & (1 << 64) - 1).to_bytes(8, "little") for v in values]).ljust(64, b"\0")


MOV32_SIGN: Final = """
        w6 = -1                         ; r6 = 0xffffffffffffffff   | 0xffffffff
        if r6 == -1 goto safe           ; always taken              | never taken
        r0 = *(u64 *)(r6 + 0)           ; dead code                 | reads wherever it likes
safe:   r0 = 1
        exit
"""
UNTRUNCATED: Final = """
        w6 = -1
        w6 += 1                         ; r6 = 0x100000000          | 0
        r6 >>= 32                       ; r6 = 1                    | 0
        r9 = 1
        r9 -= r6                        ; r9 = 0                    | 1
""" + STORE
STALE_MAXIMUM: Final = PACKET + """
        if r6 s< -1 goto out
        if r6 s> 1 goto out             ; -1 <= r6 <= 1
        r6 >>= 1                        ; 0 <= r6 <= 1              | 0x7fffffffffffffff for r6 = -1
        r6 >>= 1                        ; r6 = 0                    | 0x3fffffffffffffff
        r9 = r6
""" + STORE
SHIFT32: Final = """
        r6 = 1
        r6 <<= 32                       ; r6 = 0x100000000
        w6 >>= 31                       ; r6 = 2                    | 0
        r9 = 2
        r9 -= r6                        ; r9 = 0                    | 2
""" + STORE
ARSH32: Final = """
        w6 = -2147483648                ; r6 = 0x80000000
        w6 s>>= 31                      ; r6 = 1                    | 0xffffffff
        r9 = r6
        r9 -= 1                         ; r9 = 0                    | 0xfffffffe
""" + STORE
OFFSET32: Final = PACKET + """
        if r6 < 1 goto out
        r1 = 0x100000001 ll
        if r6 > r1 goto out             ; 1 <= r6 <= 0x100000001
        if w6 == 5 goto out             ; low half of r6 = 1        | 2
        w6 = w6                         ; r6 = 1                    | 2
        r9 = r6
        r9 -= 1                         ; r9 = 0                    | 1
""" + STORE
OR32: Final = PACKET + """
        r1 = 0xffffffff7fffffff ll
        r6 &= r1                        ; bit 31 is clear: the low half is not negative
        if r6 < 1 goto out
        r1 = 0x600000001 ll
        if r6 > r1 goto out             ; 1 <= r6 <= 0x600000001
        r6 |= 0                         ; low half of r6 = 1        | 2
        w9 = w6                         ; r9 = 1                    | 2
        r9 -= 1                         ; r9 = 0                    | 1
""" + STORE
KNOWN_HALF: Final = PACKET + """
        r1 = 0xffffffff00000000 ll
        r6 &= r1                        ; low half of r6 = 0
        r6 |= 1                         ; u32min = 1, u32max = 0    | 1
        r7 &= 1                         ; 0 <= r7 <= 1
        w6 += w7                        ; 1 + 0 <= r6 <= 0 + 1      | 2 for r7 = 1
        r9 = r6
        r9 -= 1                         ; r9 = 0                    | 1
""" + STORE
ONE_END: Final = PACKET + """
        if r6 < 1 goto out              ; low half of r6 >= 1       | 0 for r6 = 0x100000000
        w6 = w6
        if r6 > 1 goto out              ; r6 = 1                    | 0
        r9 = 1
        r9 -= r6                        ; r9 = 0                    | 1
""" + STORE
NULLABLE: Final = """
        .map ring ringbuf 0 0 4096
        r1 = map[ring]
        r2 = 8192                       ; more than the buffer has: the answer is NULL
        r3 = 0
        call bpf_ringbuf_reserve
        r9 = r0
        r9 += 1                         ; memory or NULL, plus 1
        if r0 != 0 goto got             ; NULL: r0 = 0, and r9 = 0  | 1
""" + STORE.replace("out:", "    ") + """
got:    r1 = r0
        r2 = 0
        call bpf_ringbuf_discard
        r0 = 1
        exit
"""
UNMARKED: Final = PACKET + """
        r9 = 4096
        if r6 == 0 goto join
        r9 = 7
join:   if r7 > r9 goto out             ; walked with r9 = 7: r7 <= 7. With r9 = 4096: "safe, was here before"
        r9 = r7
        r9 >>= 3                        ; r9 = 0                    | 12 for r7 = 100
""" + STORE
UNLINKED: Final = PACKET + """
        if r8 == 0 goto join
        r6 = r7
join:   if r7 > 7 goto out              ; walked with r6 = r7: r6 <= 7. With r6 unknown: "safe, was here before"
        r9 = r6
        r9 >>= 3                        ; r9 = 0                    | 512 for r6 = 4096
""" + STORE
CALLBACK: Final = """
        r1 = 0
        *(u64 *)(r10 - 8) = r1
        r1 = 10
        r2 = func pc+15               ; count, below
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_loop
        r9 = *(u64 *)(r10 - 8)          ; r9 = 0 or 1               | 10
        r9 >>= 1                        ; r9 = 0                    | 5
""" + STORE + """
        .func count                     ; walked once               | called ten times
        r1 = *(u64 *)(r2 + 0)
        r1 += 1
        *(u64 *)(r2 + 0) = r1
        r0 = 0
        exit
"""
SHRINK: Final = """
        r6 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r4 = r6
        r4 += 60
        if r4 > r3 goto out
        call shrink
        r0 = *(u8 *)(r6 + 59)           ; 60 bytes are there        | 24
out:    r0 = 1
        exit
        .func shrink
        r2 = -40
        call bpf_xdp_adjust_tail
        r0 = 0
        exit
"""

# Programs for code generators: all right by themselves -----------------------------------------------------------------

FIRST_INSN: Final = """
again:  r6 = *(u64 *)(r10 - 8)          ; the stack begins as zeros
        r6 += 1
        *(u64 *)(r10 - 8) = r6
        if r6 < 4 goto again            ; to instruction 0          | to the prologue
        r0 = 7
        exit
"""
STORE_RBP: Final = """
        r0 = 0
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r4 = r2
        r4 += 2
        if r4 > r3 goto out
        r1 = r10
        *(u8 *)(r2 + 0) = r1            ; mov [rsi], dil
        *(u8 *)(r2 + 1) = r10           ; mov [rsi + 1], bpl        | mov [rsi + 1], ch
        r0 = *(u8 *)(r2 + 0)
        r3 = *(u8 *)(r2 + 1)
        r0 -= r3                        ; the same byte twice: 0
out:    exit
"""
SHIFT_ZERO: Final = """
        r0 = 0x1200000034 ll
        r0 >>= 0                        ; the same number           | 0x34
        r0 >>= 8
        exit
"""
UPPER_HALF: Final = """
        w0 = 2147483647
        r1 = 1
        w0 += w1                        ; 0x80000000                | 0xffffffff80000000
        r0 >>= 32
        exit
"""
NEGATE: Final = """
        r0 = 0
        r0 -= -2147483648               ; 0x80000000                | 0xffffffff80000000
        exit
"""
REACH: Final = """
        r0 = 1
        r6 = *(u32 *)(r1 + 0)
        if r6 != 5 goto far             ; 144 KB on: past them      | 112 KB back: into nothing
""" + "        r0 ^= 305419896\n" * 12_000 + """
        exit
far:    r0 = 2
        exit
"""
