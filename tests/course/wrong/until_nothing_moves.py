# wrong: the same length is not the same offsets
def settle(sweep, guess):
    offsets = guess
    for _ in range(20):
        found = sweep(offsets)
        if found[-1] == offsets[-1]:
            return found
        offsets = found
    return None


# wrong: one dry run is not enough
def settle(sweep, guess):
    return sweep(guess)


# wrong: it is time to give up
def settle(sweep, guess):
    offsets, found = guess, sweep(guess)
    while found != offsets:
        offsets, found = found, sweep(found)
    return offsets


# wrong: has to be given the offsets that the one before it has found
def settle(sweep, guess):
    for _ in range(20):
        found = sweep(guess)
        if found == guess:
            return found
    return None
