# wrong: the wrong way round
def within(new, old):
    new, old = old, new
    for view in ("u", "s", "u32", "s32"):
        if getattr(new, view + "min") < getattr(old, view + "min"):
            return False
        if getattr(new, view + "max") > getattr(old, view + "max"):
            return False
    return not new.m & ~old.m and old.v == new.v & ~old.m


# wrong: the known bits are not compared
def within(new, old):
    return all(getattr(new, v + "min") >= getattr(old, v + "min") and getattr(new, v + "max") <= getattr(old, v + "max")
               for v in ("u", "s", "u32", "s32"))


# wrong: the ranges of the low half are not compared
def within(new, old):
    if new.umin < old.umin or new.umax > old.umax or new.smin < old.smin or new.smax > old.smax:
        return False
    return not new.m & ~old.m and old.v == new.v & ~old.m
