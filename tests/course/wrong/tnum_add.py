# wrong: carries are forgotten
def tnum_add(a, b):
    unknown = a[1] | b[1]
    return ((a[0] + b[0]) & (2**64 - 1) & ~unknown, unknown)


# wrong: the result is not cut to 64 bits
def tnum_add(a, b):
    low = a[0] + b[0]
    unknown = (low ^ (low + a[1] + b[1])) | a[1] | b[1]
    return (low & ~unknown, unknown)


# wrong: a bit that is unknown must be 0 in the value
def tnum_add(a, b):
    low = (a[0] + b[0]) % 2**64
    return (low, (low ^ (low + a[1] + b[1]) % 2**64) | a[1] | b[1])
