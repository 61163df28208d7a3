# wrong: all loads cannot come first
def may_join(copied, load, store, width):
    step = load - copied[-1][0]
    same = len(copied) < 2 or copied[1][0] - copied[0][0] == step
    return abs(step) == width and store - copied[-1][1] == step and same


# wrong: ranges of bytes overlap
def may_join(copied, load, store, width):
    step = load - copied[-1][0]
    if abs(step) != width or store - copied[-1][1] != step or copied[-1][0] - copied[0][0] not in (
            (len(copied) - 1) * step,):
        return False
    return load not in [written for _, written in copied]


# wrong: a copy may go downwards
def may_join(copied, load, store, width):
    if load != copied[-1][0] + width or store != copied[-1][1] + width:
        return False
    if len(copied) > 1 and copied[1][0] < copied[0][0]:
        return False
    return all(abs(load - written) >= width for _, written in copied)


# wrong: not only the first one
def may_join(copied, load, store, width):
    step = load - copied[-1][0]
    if abs(step) != width or store - copied[-1][1] != step:
        return False
    if len(copied) > 1 and copied[1][0] - copied[0][0] != step:
        return False
    return abs(load - copied[0][1]) >= width
