# wrong: first take away, then add
def live(order, follow, use, kill):
    before = [0] * len(follow)
    for _ in range(len(follow) + 1):
        for pc in order:
            out = use[pc]
            for s in follow[pc]:
                out |= before[s]
            before[pc] = out & ~kill[pc]
    return before


# wrong: one pass is not enough
def live(order, follow, use, kill):
    before = [0] * len(follow)
    for pc in order:
        out = 0
        for s in follow[pc]:
            out |= before[s]
        before[pc] = (out & ~kill[pc]) | use[pc]
    return before
