# wrong: the minimum of both maxima, not their AND
def and_bounds(a, b):
    return (a[0] & b[0], a[3] & b[3])


# wrong: the lower bound is not the AND of the lower bounds
def and_bounds(a, b):
    return (a[2] & b[2], min(a[3], b[3]))
