# wrong: need goes on backwards
def needed(kinds, definitions_of):
    return {(index, use[1]) for use, kind in kinds.items() if kind == "always" for index in definitions_of[use]}


# wrong: needs the upper half only if
def needed(kinds, definitions_of):
    return {(index, use[1]) for use, kind in kinds.items() if kind != "never" for index in definitions_of[use]}


# wrong: several definitions may reach a use
def needed(kinds, definitions_of):
    found, work = set(), [use for use, kind in kinds.items() if kind == "always"]
    while work:
        use = work.pop()
        place = (definitions_of[use][0], use[1])
        if place not in found:
            found.add(place)
            work += [u for u, kind in kinds.items() if u[0] == place[0] and kind == "result"]
    return found


# wrong: reads the lower half only
def needed(kinds, definitions_of):
    found, work = set(), [use for use, kind in kinds.items() if kind == "always"]
    while work:
        use = work.pop()
        for index in definitions_of[use]:
            if (index, use[1]) not in found:
                found.add((index, use[1]))
                work += [u for u in kinds if u[0] == index]
    return found
