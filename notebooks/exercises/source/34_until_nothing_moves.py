'''How long a jump of x86-64 is depends on how far it goes, and how far it goes depends on how long the jumps between
are. So the JIT *sweeps*: it starts with a guess of all offsets (64 bytes per instruction, too much), generates the code
of the whole function without keeping it, and learns better offsets; and again, until they have settled. Then it writes
the image.

Write `settle(sweep, guess)`. `guess` is the list of offsets to begin with: where each instruction ends, the last one
being the length of all. `sweep(offsets)` generates code for these offsets and returns the offsets that come out, a new
list. Give each sweep what the one before it has found. Return the offsets that the image may be written with: those
with which one more sweep changes nothing. After 20 sweeps without that give up and return `None`.

Your function then replaces the passes of the x86-64 target, in a variant whose short jumps reach all of a signed byte.
Linux had this variant until 5.11.

<details><summary>Hint</summary>What can change although the length of the whole stays the same?</details>
'''

def settle(sweep, guess):
    ### BEGIN SOLUTION
    offsets = guess
    for _ in range(20):
        found = sweep(offsets)
        if found == offsets:
            return offsets
        offsets = found
    return None
    ### END SOLUTION
