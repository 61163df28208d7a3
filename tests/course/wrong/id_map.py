# wrong: ids are only names
def match(known, old, new):
    return old == new


# wrong: may not stand for the same id of the state
def match(known, old, new):
    if not old or not new:
        return old == new
    return known.setdefault(old, new) == new


# wrong: 0 is no id
def match(known, old, new):
    if old not in known and new in known.values():
        return False
    return known.setdefault(old, new) == new
