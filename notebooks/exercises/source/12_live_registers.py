'''A register is *live* before an instruction if on some way from there it is read before it is written. What is not live
need not be compared when a path meets a checkpoint, so more paths end early. Since 6.18 Linux computes this once, before the
walk, for all instructions:

    out[i] = union of in[s] over the successors s of i
    in[i]  = out[i] − kill[i] + use[i]

Write `live(order, follow, use, kill)`. Sets of registers are masks: bit *n* stands for r*n*. `order` lists the slots in a good
order for going backwards (successors mostly first); `follow[pc]` lists the successors of a slot, `use[pc]` is the mask of what it
reads, `kill[pc]` of what it writes. Return the list of masks `in`, one per slot.

<details><summary>Hint</summary>Start with nothing live anywhere, and go over all slots until a round changes nothing. One round is
not enough as soon as there is a loop.</details>
'''

def live(order, follow, use, kill):
    ### BEGIN SOLUTION
    before = [0] * len(follow)
    changed = True
    while changed:
        changed = False
        for pc in order:
            out = 0
            for s in follow[pc]:
                out |= before[s]
            now = (out & ~kill[pc]) | use[pc]
            changed |= now != before[pc]
            before[pc] = now
    return before
    ### END SOLUTION
