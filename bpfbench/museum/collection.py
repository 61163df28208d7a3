"""The collection: every piece with its story, in the order of years.  The programs are in programs.py.

CVE texts and commits are cited; the words, the programs and the inputs are our own.
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import UsageError
from bpfbench.museum import programs as p
from bpfbench.museum.codegen import CodegenPiece
from bpfbench.museum.displacement import displacement
from bpfbench.museum.piece import Piece, VerifierPiece

PIECES: Final[tuple[Piece, ...]] = (
    VerifierPiece("CVE-2017-16995", "a 32-bit constant with its sign", "linux-4.18", """
`w6 = -1` sets the low half of r6 and clears the upper half.  The verifier remembered the constant sign-extended to 64
bits, as for `r6 = -1`.  A comparison with -1 was then decided: the other side was dead code, never looked at, but it is
the side that the processor takes.  Anything may stand there.  The fix takes the low 32 bits of the constant.
""", p.MOV32_SIGN),
    VerifierPiece("CVE-2017-17852", "32-bit arithmetic with 64-bit results", "linux-4.18", """
A 32-bit operation takes 32-bit operands and gives a 32-bit result.  The verifier cut the operands, computed with 64 bits
and kept all of them, so a sum that wraps around kept its carry.  The fix cuts the result instead.
""", p.UNTRUNCATED),
    VerifierPiece("CVE-2017-17853", "an unsigned shift of a signed range", "linux-4.18", """
`>>=` fills in zeros, so of a negative number it makes a huge one.  The verifier saw that the sign is gone and set the
signed minimum to 0, but left the signed maximum alone: -1..1 became 0..1.  The fix forgets the signed range and derives
it again from the unsigned one.
""", p.STALE_MAXIMUM, data=p.words(-1)),
    VerifierPiece("CVE-2018-18445", "a 32-bit shift of a 64-bit number", "linux-4.18", """
After the fix of CVE-2017-17852 only the result was cut to 32 bits.  For most operations that is enough, since knowledge
moves to higher bits; a shift right moves it down.  Bits 32 and above, which a 32-bit shift never sees, came down into the
result.  The fix cuts the operands of shifts right, too.
""", p.SHIFT32),
    VerifierPiece("arsh32", "the sign of the low half, looked for in bit 63", "linux-6.1", """
An arithmetic shift copies the sign.  That of a 32-bit operand is bit 31, but the known bits (the tnum) were shifted as 64
bits after the upper half had been cleared: the sign was always 0.  The fix tells the shift how wide its operand is.
""", p.ARSH32),
    VerifierPiece("CVE-2020-8835", "64-bit bounds cut down to the low half", "linux-6.1", """
After a 32-bit comparison the verifier wanted to learn bits of the low half.  It took the ends of the 64-bit range, cut each
to 32 bits, and declared the low half to lie between: of 1..0x100000001 it "followed" that the low half is 1.  That holds
only where both ends have the same upper half.  The fix took the lesson out; 5.7 got 32-bit ranges of their own.
""", p.OFFSET32, data=p.words(2)),
    VerifierPiece("CVE-2020-27194", "the 32-bit range of an OR, from 64 bits", "linux-6.1", """
The new 32-bit rule for OR was written after the 64-bit one, and kept a 64-bit name: the signed 32-bit range was copied from
the 64-bit unsigned range, losing what does not fit.  1..0x600000001 became 1..1.  The fix is one word, twice.
""", p.OR32, data=p.words(2)),
    VerifierPiece("CVE-2021-3490", "a low half that everybody left to somebody else", "linux-6.1", """
Where both low halves are constants, the 32-bit rule for AND, OR and XOR returned at once: the 64-bit rule would set
everything.  It does so only where the whole is a constant.  Otherwise the old range met the new known bits and gave a range
whose minimum lies above its maximum; adding 0..1 to 1..0 gives the "constant" 1.  The fix sets the low half in any case.
""", p.KNOWN_HALF, data=p.words(0, 1)),
    VerifierPiece("CVE-2021-31440", "one end that fits is not both", "linux-6.1", """
A 64-bit range inside of 32 bits is also the range of the low half.  The rule looked at each end by itself: of r6 >= 1,
whose minimum fits 32 bits, it learned that the low half is at least 1.  0x100000000 has a low half of 0.  The fix asks for
both ends.
""", p.ONE_END, data=p.words(1 << 32)),
    VerifierPiece("CVE-2022-23222", "arithmetic on what may be NULL", "linux-6.1", """
Pointers that may be NULL must be compared with NULL before they are moved.  The list of such types was not extended when
new ones came: memory from a ring buffer could be moved first.  All copies of the pointer share an id, and comparing one
settles all: where r0 is NULL, its copy plus 1 was "known" to be 0.  The fix turned "or NULL" into a flag of every type.
""", p.NULLABLE),
    VerifierPiece("CVE-2023-2163", "precision that stopped at a comparison", "linux-6.1", """
States are compared loosely, except for numbers that a check depended on; those are found by walking back.  If r7 was bounded
by a comparison with r9, then r9 mattered as much as r7, but the walk back did not look at comparisons of two registers.
With r9 not marked, a checkpoint with r9 = 7 covered a path with r9 = 4096, which was never walked.  The fix marks both.
""", p.UNMARKED, data=p.words(0, 100)),
    VerifierPiece("scalar-ids", "numbers that were equal on another path", "linux-6.12", """
`r6 = r7` links the two: what is learned of one is true of the other.  States were compared register by register, without
asking whether numbers that were linked in the checkpoint are linked now.  A path on which r6 and r7 have nothing to do with
each other was pruned by one on which they were equal.  The fix compares the ids of precise numbers.
""", p.UNLINKED, data=p.words(4096, 0, 0)),
    VerifierPiece("callbacks-once", "a loop body walked once", "linux-6.12", """
bpf_loop calls a function up to 8 million times.  The verifier walked it once, as if called once: a counter on the
caller's stack was 0 or 1 afterwards.  The fix treats the call as the head of a loop whose body is walked until nothing new
comes.
""", p.CALLBACK, data=bytes(64), functions={"count": "static int(int, mem)"}),
    VerifierPiece("CVE-2024-58098", "packet pointers across a function that moves the packet", "linux-6.12", """
A helper that changes the packet makes all pointers into it void.  A global function is verified by itself and its calls are
taken as valid; that it calls such a helper was not noted, so the caller went on with pointers to bytes that may be gone.
The fix computes, before the walk, which functions change the packet.
""", p.SHRINK, data=bytes(64), functions={"shrink": "global int(ctx)"}),
    CodegenPiece("x64-store-rbp", "ch is not bpl", """
On x86-64 the low bytes of rsi, rdi, rbp and rsp have names only with a REX prefix; without one, the same numbers mean dh,
bh, ch and ah.  The code generator knew this of rdi and rsi, where r1 and r2 live, but not of rbp: storing the low byte of
r10 stored bits 8 to 15 of rcx.  Found by proof (Jitterbug), not by accident.
""", p.STORE_RBP, data=bytes(64)),
    CodegenPiece("x64-first-insn", "a jump to the first instruction", """
The code generator kept the offset of the *end* of each instruction; a jump to instruction n went to the end of n - 1.
Before the first one there is nothing: the offset was read from in front of the array.  No verified program could jump back
until 5.3 allowed loops.  Here the missing offset is 0, the start of the image: the prologue runs again, the frame is made
a second time, and the exit returns to a number.  The fix keeps the offset where the first instruction begins.
""", p.FIRST_INSN),
    CodegenPiece("CVE-2021-29154", "the last pass that nobody compared", """
Jumps are short or long, so the x86-64 code generator sweeps until two passes have the same length, and then once more to
write.  The same length is not the same addresses: in the last sweep something may shrink and something else grow by as
much, and a jump between the two goes to the wrong place.  A forward jump shrinks one pass after what it jumps over; a
backward one may grow for one pass when something before its target shrinks.  Nineteen jumps are enough to keep pass 9,
which is written, as long as passes 7 and 8, and to send one of them 12 bytes short, into the middle of an instruction:
code that no verifier ever saw.  The fix compares every address of the written pass with the pass before
(museum/displacement.py has the plan).
""", displacement(), "socket_filter", data=bytes(64)),
    CodegenPiece("a32-shift-zero", "a shift by 0 that shifts by 32", """
ARM has no shift right by 0: the amount 0 stands for 32.  A 64-bit shift is three instructions on two registers, and for
`r0 >>= 0` all three went wrong: one shifted everything out, one needed a shift by 32 - 0, whose sixth bit spilled into the
number of the destination register.  The fix does nothing for a shift by 0.  Found by proof (Jitterbug).
""", p.SHIFT_ZERO),
    CodegenPiece("rv64-upper-half", "32-bit sums with a sign", """
Every 32-bit operation of eBPF clears the upper half.  RISC-V's addw and subw extend the sign instead, so a sum with bit 31
set had an upper half of ones: a program's `index`, for the verifier below 2^32, was negative in the processor.  The fix
adds two shifts.
""", p.UPPER_HALF),
    CodegenPiece("ppc64-negate", "the one number without a negation", """
Subtracting a constant was adding its negation.  -2147483648 is its own negation in 32 bits, so it was added instead of
subtracted.  The fix subtracts where the negation does not fit.
""", p.NEGATE),
    CodegenPiece("CVE-2021-38300", "a branch cut to 18 bits", """
Conditional branches of MIPS reach 128 KiB.  Nobody asked whether the distance fits; the encoder took its low bits, so a
far branch went to another place, up to 128 KiB before it or behind it.  The CVE is about the 32-bit code generator for
classic BPF; here its rule stands in the one for eBPF that replaced it.  The fix jumps over an absolute jump.
""", p.REACH),
)
BY_NAME: Final[dict[str, Piece]] = {one.name: one for one in PIECES}


def names() -> list[str]:
    """The names of all pieces.

    >>> names()[:2], len(names()) >= 12
    (['CVE-2017-16995', 'CVE-2017-17852'], True)
    """
    return list(BY_NAME)


def piece(name: str) -> Piece:
    """The piece of that name, also in small letters or without "CVE-"; UsageError lists the names.

    >>> piece("2021-3490")
    <CVE-2021-3490: a low half that everybody left to somebody else>
    """
    for known, found in BY_NAME.items():
        if name.lower() in (known.lower(), known.lower().removeprefix("cve-")):
            return found
    raise UsageError(f"no museum piece '{name}'; there are: {', '.join(BY_NAME)}")
