# wrong: only a is narrowed
def refine_less(a, b, op):
    step = 0 if "=" in op else 1
    if op[0] == "s":
        a.smax = min(a.smax, b.smax - step)
    else:
        a.umax = min(a.umax, b.umax - step)


# wrong: strict and not strict are mixed up
def refine_less(a, b, op):
    if op[0] == "s":
        a.smax, b.smin = min(a.smax, b.smax), max(b.smin, a.smin)
    else:
        a.umax, b.umin = min(a.umax, b.umax), max(b.umin, a.umin)
