'''To know a rule is to be able to break it, and nothing else. For each rule below, write **two** XDP programs: the first is
refused by Linux 6.18 *for this reason*, the second is accepted, and is the first with at most **three lines added**.

| rule | what it says |
|---|---|
| `uninitialised` | a register must be written before it is read |
| `deref-maybe-null` | the result of a lookup may be null until it has been compared |
| `packet-bounds` | packet bytes must be proven to be there |
| `memory-unbounded` | an unknown offset into memory needs an upper bound |
| `infinite-loop` | a loop must not come back in the same state |
| `reference-leak` | what was acquired must be released |

Write `broken_and_mended(rule)`, which returns the two texts. `bpfbench.verifier.rules.rule("packet-bounds")` knows why a rule
exists and what to do about it.

A map is declared with `.map m hash 8 8 1` (name, type, key size, value size, entries) and named with `r1 = map[m]`; helpers are
called by name: `call map_lookup_elem`, `call ringbuf_reserve`, `call ringbuf_discard`.

<details><summary>Hint 1</summary>Start with the second program and take lines away.</details>
<details><summary>Hint 2</summary>A ring buffer (`.map m ringbuf 0 0 4096`) gives out memory that has to be given back:
`ringbuf_reserve(map, size, 0)`, `ringbuf_discard(memory, 0)`.</details>
'''

def broken_and_mended(rule):
    ### BEGIN SOLUTION
    lookup = (".map m hash 8 8 1\n*(u64 *)(r10 -8) = 0\nr2 = r10\nr2 += -8\nr1 = map[m]\ncall map_lookup_elem\n")
    packet = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n"
    offset = f"r6 = *(u32 *)(r1 +16)\n{lookup}if r0 == 0 goto out\n"
    ring = ".map m ringbuf 0 0 4096\nr1 = map[m]\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto out\n"
    end = "out: r0 = 0\nexit"
    parts = {
        "uninitialised": ("", "r6 = 1\n", "r0 = r6\nexit"),
        "deref-maybe-null": (lookup, "if r0 == 0 goto out\n", f"r1 = *(u64 *)(r0 +0)\n{end}"),
        "packet-bounds": (packet, "r4 = r2\nr4 += 14\nif r4 > r3 goto out\n", f"r5 = *(u8 *)(r2 +13)\n{end}"),
        "memory-unbounded": (offset, "r6 &= 7\n", f"r0 += r6\nr1 = *(u8 *)(r0 +0)\n{end}"),
        "infinite-loop": ("r6 = 0\nagain:\n", "r6 += 1\n", "if r6 < 9 goto again\nr0 = 0\nexit"),
        "reference-leak": (ring, "r1 = r0\nr2 = 0\ncall ringbuf_discard\n", end),
    }
    before, mend, after = parts[rule]
    return before + after, before + mend + after
    ### END SOLUTION
