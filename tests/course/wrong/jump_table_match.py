# wrong: one entry more than the number compared with
def last(code, end, register):
    """The number of the last instruction before `end` that writes the register, or None."""
    return next((i for i in reversed(range(end)) if code[i].get("rd") == register), None)


def match(code):
    def define(end, register, op):
        found = last(code, end, register)
        return found if found is not None and code[found]["op"] == op else None

    add = define(len(code) - 1, code[-1]["rn"], "add")
    if add is None:
        return None
    adr, load = define(add, code[add]["rn"], "adr"), define(add, code[add]["rm"], "load")
    low = load and define(load, code[load]["rn"], "addi")
    page = low and define(low, code[low]["rn"], "adrp")
    if not adr or not page:
        return None
    index, end = code[load]["rm"], load
    while end is not None:
        start = last(code, end, index) or 0
        for i in range(start, load):
            test, jump = code[i], code[i + 1]
            if test["op"] == "cmp" and test["rn"] == index and jump["op"] == "branch":
                return {"table": code[page]["address"] + code[low]["imm"], "size": code[load]["size"],
                        "signed": code[load]["signed"] or code[add]["extend"] in ("sxtb", "sxth"),
                        "shift": code[add]["shift"], "anchor": code[adr]["address"],
                        "count": test["imm"]}
        end = define(end, index, "mov")
        index = code[end]["rm"] if end is not None else index
    return None


# wrong: the rest of the table's address
def last(code, end, register):
    """The number of the last instruction before `end` that writes the register, or None."""
    return next((i for i in reversed(range(end)) if code[i].get("rd") == register), None)


def match(code):
    def define(end, register, op):
        found = last(code, end, register)
        return found if found is not None and code[found]["op"] == op else None

    add = define(len(code) - 1, code[-1]["rn"], "add")
    if add is None:
        return None
    adr, load = define(add, code[add]["rn"], "adr"), define(add, code[add]["rm"], "load")
    low = load and define(load, code[load]["rn"], "addi")
    page = low and define(low, code[low]["rn"], "adrp")
    if not adr or not page:
        return None
    index, end = code[load]["rm"], load
    while end is not None:
        start = last(code, end, index) or 0
        for i in range(start, load):
            test, jump = code[i], code[i + 1]
            if test["op"] == "cmp" and test["rn"] == index and jump["op"] == "branch":
                return {"table": code[page]["address"], "size": code[load]["size"],
                        "signed": code[load]["signed"] or code[add]["extend"] in ("sxtb", "sxth"),
                        "shift": code[add]["shift"], "anchor": code[adr]["address"],
                        "count": test["imm"] + (jump["if"] == "hi")}
        end = define(end, index, "mov")
        index = code[end]["rm"] if end is not None else index
    return None


# wrong: from the addition (sxtb, sxth)
def last(code, end, register):
    """The number of the last instruction before `end` that writes the register, or None."""
    return next((i for i in reversed(range(end)) if code[i].get("rd") == register), None)


def match(code):
    def define(end, register, op):
        found = last(code, end, register)
        return found if found is not None and code[found]["op"] == op else None

    add = define(len(code) - 1, code[-1]["rn"], "add")
    if add is None:
        return None
    adr, load = define(add, code[add]["rn"], "adr"), define(add, code[add]["rm"], "load")
    low = load and define(load, code[load]["rn"], "addi")
    page = low and define(low, code[low]["rn"], "adrp")
    if not adr or not page:
        return None
    index, end = code[load]["rm"], load
    while end is not None:
        start = last(code, end, index) or 0
        for i in range(start, load):
            test, jump = code[i], code[i + 1]
            if test["op"] == "cmp" and test["rn"] == index and jump["op"] == "branch":
                return {"table": code[page]["address"] + code[low]["imm"], "size": code[load]["size"],
                        "signed": code[load]["signed"],
                        "shift": code[add]["shift"], "anchor": code[adr]["address"],
                        "count": test["imm"] + (jump["if"] == "hi")}
        end = define(end, index, "mov")
        index = code[end]["rm"] if end is not None else index
    return None


# wrong: only gcc takes the address behind the branch
def last(code, end, register):
    """The number of the last instruction before `end` that writes the register, or None."""
    return next((i for i in reversed(range(end)) if code[i].get("rd") == register), None)


def match(code):
    def define(end, register, op):
        found = last(code, end, register)
        return found if found is not None and code[found]["op"] == op else None

    add = define(len(code) - 1, code[-1]["rn"], "add")
    if add is None:
        return None
    adr, load = define(add, code[add]["rn"], "adr"), define(add, code[add]["rm"], "load")
    low = load and define(load, code[load]["rn"], "addi")
    page = low and define(low, code[low]["rn"], "adrp")
    if not adr or not page:
        return None
    index, end = code[load]["rm"], load
    while end is not None:
        start = last(code, end, index) or 0
        for i in range(start, load):
            test, jump = code[i], code[i + 1]
            if test["op"] == "cmp" and test["rn"] == index and jump["op"] == "branch":
                return {"table": code[page]["address"] + code[low]["imm"], "size": code[load]["size"],
                        "signed": code[load]["signed"] or code[add]["extend"] in ("sxtb", "sxth"),
                        "shift": code[add]["shift"], "anchor": code[-1]["at"] + 4,
                        "count": test["imm"] + (jump["if"] == "hi")}
        end = define(end, index, "mov")
        index = code[end]["rm"] if end is not None else index
    return None
