"""A path may end where a checkpoint covers the state that arrives: every number must be one that the checkpoint already
allowed. A number of the engine has six views: known bits `v`, `m` (a bit set in `m` is unknown), and the ranges
`umin…umax`, `smin…smax`, `u32min…u32max`, `s32min…s32max`.

Write `within(new, old)`: is `new` inside `old` in **every** view?

<details><summary>Hint</summary>For the bits: nothing unknown in `new` that is known in `old`, and where `old` knows a bit,
`new` has the same.</details>
"""

def within(new, old):
    ### BEGIN SOLUTION
    for view in ("u", "s", "u32", "s32"):
        if getattr(new, view + "min") < getattr(old, view + "min"):
            return False
        if getattr(new, view + "max") > getattr(old, view + "max"):
            return False
    return not new.m & ~old.m and old.v == new.v & ~old.m
    ### END SOLUTION
