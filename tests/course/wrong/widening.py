# wrong: this joins, it does not widen
def widen(old, new, steps):
    return (min(old[0], new[0]), max(old[1], new[1]))


# wrong: jumps to infinity instead of to the next threshold
def widen(old, new, steps):
    return (old[0] if new[0] >= old[0] else 0, old[1] if new[1] <= old[1] else 2**64 - 1)
