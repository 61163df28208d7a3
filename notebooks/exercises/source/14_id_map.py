'''The verifier gives ids to things it does not know but must not mix up: two packet pointers moved by the same unknown offset
have the same id, so a check of one is a check of both. Ids are just names. When a state meets a checkpoint, it does not
matter what the ids *are*, only whether they say the same: **where the checkpoint uses one id twice, the state must use one id
twice, and where it uses two, the state must use two.**

So the comparison keeps a map from ids of the checkpoint to ids of the state, and asks for each pair it meets:

Write `match(known, old, new)`. `known` is a dict (empty at first), `old` the checkpoint's id, `new` the state's. Return whether
the pair fits what is known; if it does and is new, remember it in `known`. 0 means *no id*, which only matches itself and is
not remembered. (`check_ids` in the kernel.)

<details><summary>Hint</summary>There are two ways not to fit: `old` already stands for another id, or `new` is already taken by
another.</details>
'''

def match(known, old, new):
    ### BEGIN SOLUTION
    if not old or not new:
        return old == new
    if old in known:
        return known[old] == new
    if new in known.values():
        return False
    known[old] = new
    return True
    ### END SOLUTION
