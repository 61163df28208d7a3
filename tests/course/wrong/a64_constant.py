# wrong: start from ones where that leaves fewer pieces
def build(value):
    blocks = [(value >> s & 0xFFFF, s) for s in (48, 32, 16, 0) if value >> s & 0xFFFF]
    return [("movz", *blocks[0])] + [("movk", *block) for block in blocks[1:]]


# wrong: give it the inverted piece
def build(value):
    blocks = [(value >> s & 0xFFFF, s) for s in (48, 32, 16, 0)]
    ones = sum(b == 0xFFFF for b, _ in blocks) > sum(b == 0 for b, _ in blocks)
    needed = [(b, s) for b, s in blocks if b != (0xFFFF if ones else 0)]
    return [("movn" if ones else "movz", *needed[0])] + [("movk", *block) for block in needed[1:]]


# wrong: leave out the pieces
def build(value):
    return [("movz", value >> 48, 48)] + [("movk", value >> s & 0xFFFF, s) for s in (32, 16, 0)]


# wrong: not from the lowest up
def build(value):
    blocks = [(value >> s & 0xFFFF, s) for s in (0, 16, 32, 48)]
    ones = sum(b == 0xFFFF for b, _ in blocks) > sum(b == 0 for b, _ in blocks)
    needed = [(b, s) for b, s in blocks if b != (0xFFFF if ones else 0)]
    first = (("movn", needed[0][0] ^ 0xFFFF) if ones else ("movz", needed[0][0])) + (needed[0][1],)
    return [first] + [("movk", *block) for block in needed[1:]]
