'''A compiler expands `memcpy` into pairs: load a few bytes, store them, load the next ones. Each access of a packet
takes the NFP hundreds of cycles, so its code generator gathers pairs into one copy: **all loads first, in one command,
then all stores**. Gathering goes on from pair to pair as long as the result is the same.

Write `may_join(copied, load, store, width)`. `copied` has the pairs gathered so far, each `(load, store)`: the offsets
in the packet where `width` bytes were read and where they were written. May the pair `(load, store)` join them?

* Both offsets go on from those of the last pair by `width`, upwards or downwards, and both by the same step.
* The direction is that of the pairs before.
* The load reads no byte that a store in `copied` has written.

Everything else (registers, jumps into the middle, the longest copy) the engine has checked.

<details><summary>Hint</summary>Two ranges of <code>width</code> bytes overlap when their starts are less than
<code>width</code> apart.</details>
'''

def may_join(copied, load, store, width):
    ### BEGIN SOLUTION
    step = load - copied[-1][0]
    if abs(step) != width or store - copied[-1][1] != step:
        return False
    if len(copied) > 1 and copied[1][0] - copied[0][0] != step:
        return False
    return all(abs(load - written) >= width for _, written in copied)
    ### END SOLUTION
