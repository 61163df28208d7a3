# wrong: pointers saved on the stack learn
def find_good_pkt_pointers(state, reg, strict):
    if reg.off < 0 or reg.off == 0 and strict or reg.off + reg.scalar.umax > 0xFFFF:
        return
    n = reg.off + strict
    for frame in state.frames:
        for i, r in enumerate(frame.regs):
            if r.kind == reg.kind and r.id == reg.id and r.range < n:
                frame.regs[i] = r.with_range(n)


# wrong: the callers' frames hold pointers, too
from bpfbench.verifier.state import Slot


def find_good_pkt_pointers(state, reg, strict):
    if reg.off < 0 or reg.off == 0 and strict or reg.off + reg.scalar.umax > 0xFFFF:
        return
    n = reg.off + strict
    frame = state.frames[-1]
    for i, r in enumerate(frame.regs):
        if r.kind == reg.kind and r.id == reg.id and r.range < n:
            frame.regs[i] = r.with_range(n)
    for i, s in enumerate(frame.stack):
        if s.spilled and s.reg.kind == reg.kind and s.reg.id == reg.id and s.reg.range < n:
            frame.stack[i] = Slot(s.types, s.reg.with_range(n))


# wrong: only pointers with the same id
from bpfbench.verifier.state import Slot


def find_good_pkt_pointers(state, reg, strict):
    if reg.off < 0 or reg.off == 0 and strict or reg.off + reg.scalar.umax > 0xFFFF:
        return
    n = reg.off + strict
    for frame in state.frames:
        for i, r in enumerate(frame.regs):
            if r.kind == reg.kind and r.range < n:
                frame.regs[i] = r.with_range(n)
        for i, s in enumerate(frame.stack):
            if s.spilled and s.reg.kind == reg.kind and s.reg.range < n:
                frame.stack[i] = Slot(s.types, s.reg.with_range(n))
