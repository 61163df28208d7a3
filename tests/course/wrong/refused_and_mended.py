# wrong: the first program is accepted
def broken_and_mended(rule):
    return "r0 = 0\nexit", "r0 = 0\nexit"


# wrong: refused for another reason
def broken_and_mended(rule):
    return "r0 = r6\nexit", "r6 = 1\nr0 = r6\nexit"


# wrong: has to keep every line of the first
def broken_and_mended(rule):
    from bpfbench.verifier import rules

    return rules.rule(rule).example, "r0 = 0\nexit"
