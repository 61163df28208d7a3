'''The verifier walks every path, unless the state that arrives is covered by one that was there before. A short program
without a loop can have many paths.

Write `many_paths(least)`: the text of an XDP program of at most 64 slots, **without jumps back**, which Linux 6.18
accepts and for which it has to walk at least `least` instructions (up to 8000; more than 20 000 is too much of a good
thing).
`bpfbench.verify(program).stats` shows how many it has processed.

A number that the verifier does not know is at `*(u32 *)(r1 +16)`.

<details><summary>Hint 1</summary>Each branch on a bit that is not known yet doubles the number of paths.</details>
<details><summary>Hint 2</summary>Where paths meet, they are compared, and only numbers that something depends on count.
So every path has to arrive with another number, and a condition at the end has to depend on it.</details>
'''

def many_paths(least):
    ### BEGIN SOLUTION
    lines = ["r2 = *(u32 *)(r1 +16)", "r0 = 0"]
    for bit in range((least // 4).bit_length()):
        lines += [f"if r2 & {1 << bit} goto +1", f"r0 += {1 << bit}"]
    return "\n".join([*lines, "if r0 > 99 goto +0", "exit"])
    ### END SOLUTION
