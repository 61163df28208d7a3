# wrong: the verifier knows it, too
def lose(mask):
    return "r0 = 0"


# wrong: r0 is not always the same
def lose(mask):
    return "r0 += r2"


# wrong: 2 are allowed
def lose(mask):
    return "r3 = r2\nr3 += 0\nr0 -= r3"


# wrong: refused
def lose(mask):
    return "r0 -= r7"
