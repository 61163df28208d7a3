# wrong: also a larger one
def provider(symbol, needs, libraries):
    loaded = {library["name"]: library for library in libraries}
    for name, version in needs:
        if name not in loaded:
            return "missing"
        if loaded[name]["version"] < version:
            return "wrong version"
    for name in [name for name, _ in needs] or loaded:
        if symbol in loaded[name]["exports"]:
            return name
    return "undefined"


# wrong: a later minor version is good
def provider(symbol, needs, libraries):
    loaded = {library["name"]: library for library in libraries}
    for name, version in needs:
        if name not in loaded:
            return "missing"
        if loaded[name]["version"] != version:
            return "wrong version"
    for name in [name for name, _ in needs] or loaded:
        if symbol in loaded[name]["exports"]:
            return name
    return "undefined"


# wrong: not in which they were loaded
def provider(symbol, needs, libraries):
    wanted = dict(needs)
    names = {library["name"] for library in libraries}
    if not names >= set(wanted):
        return "missing"
    for library in libraries:
        version = library["version"]
        if library["name"] in wanted and not wanted[library["name"]] <= version < (wanted[library["name"]][0] + 1, 0):
            return "wrong version"
    for library in libraries:
        if (not needs or library["name"] in wanted) and symbol in library["exports"]:
            return library["name"]
    return "undefined"


# wrong: from these alone
def provider(symbol, needs, libraries):
    loaded = {library["name"]: library for library in libraries}
    for name, (major, minor) in needs:
        if name not in loaded:
            return "missing"
        has = loaded[name]["version"]
        if has[0] != major or has[1] < minor:
            return "wrong version"
    for name in [*(name for name, _ in needs), *loaded]:
        if symbol in loaded[name]["exports"]:
            return name
    return "undefined"


# wrong: whichever has the function
def provider(symbol, needs, libraries):
    loaded = {library["name"]: library for library in libraries}
    for name in [name for name, _ in needs if name in loaded] or ([] if needs else loaded):
        if symbol in loaded[name]["exports"]:
            return name
    return "undefined"
