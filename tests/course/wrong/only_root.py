# wrong: there has to be a way that leaks nothing
def leak(rule):
    from bpfbench.verifier import rules

    return ".type socket_filter\n" + rules.rule(rule).example


# wrong: nothing leaks
def leak(rule):
    return "r0 = 0\nexit"


# wrong: root may not do this either
def leak(rule):
    return "r2 = *(u32 *)(r1 +0)\nr0 = 0\nif r2 > 100 goto bad\nexit\nbad: r0 = r7\nexit"


# wrong: refused for another reason
def leak(rule):
    return "r2 = *(u32 *)(r1 +0)\nr0 = 0\nif r2 > 100 goto bad\nexit\nbad: r0 = r10\nexit"
