'''A program may read a packet only where it has compared a pointer with the packet's end. After

    r4 = r2                  both point to the packet's start (id=0)
    r4 += 14
    if r4 > r3 goto out      r3 is the end

the fall-through knows that 14 bytes are there: not only for `r4`, but for **every** pointer into the packet that is at a known
distance from it. Each pointer carries `range`, the number of bytes from its own base (offset 0) that are proven.

Write `find_good_pkt_pointers(state, reg, strict)`. `reg` is the pointer that was compared, `strict` whether one byte *more* than
up to it is proven (`>=` instead of `>`). Raise the range of every pointer that learns from this, in place:

* `state.frames` are the functions in progress, the innermost last; a frame has `regs`, a list of registers, and `stack`, a
  list of slots; a slot has `spilled` (a register is saved there), `reg` and `types`
* a register has `kind`, `id`, `off` (its constant offset), `range`, `scalar.umax` (the largest its unknown offset can be);
  `reg.with_range(n)` is a copy with another range, `Slot(slot.types, reg)` a slot with another register
* pointers with the same `kind` and the same `id` have the same base and the same unknown offset

Registers are immutable: put the copy in the place of the old one. Nothing is learnt if `off` is negative, if `off` is 0 and
`strict`, or if `off + scalar.umax` is more than 0xffff.

<details><summary>Hint 1</summary>What was proven counts from the base that all pointers of this id share: it is `reg.off`, or one
more.</details>
<details><summary>Hint 2</summary>Copies may be in a caller's registers, and saved on any frame's stack.</details>
'''

from bpfbench.verifier.state import Slot


def find_good_pkt_pointers(state, reg, strict):
    ### BEGIN SOLUTION
    if reg.off < 0 or reg.off == 0 and strict or reg.off + reg.scalar.umax > 0xFFFF:
        return
    proven = reg.off + 1 if strict else reg.off

    def learns(other):
        return other.kind == reg.kind and other.id == reg.id and other.range < proven

    for frame in state.frames:
        frame.regs[:] = [r.with_range(proven) if learns(r) else r for r in frame.regs]
        frame.stack[:] = [Slot(s.types, s.reg.with_range(proven)) if s.spilled and learns(s.reg) else s for s in frame.stack]
    ### END SOLUTION
