# wrong: the upper part has to be one more
def split(distance):
    low = distance & 0xFFF
    return (distance >> 12 & 0xFFFFF, low - 0x1000 if low > 0x7FF else low)


# wrong: 12 bits are signed
def split(distance):
    return (distance >> 12 & 0xFFFFF, distance & 0xFFF)


# wrong: 20 bits, without a sign
def split(distance):
    high = (distance + 0x800) >> 12
    return (high, distance - (high << 12))
