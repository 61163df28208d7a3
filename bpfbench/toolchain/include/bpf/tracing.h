/* SPDX-License-Identifier: BSD-3-Clause */
/* Arguments of traced functions: registers of the processor at a kprobe, words at a raw tracepoint. */
#ifndef BPFBENCH_TRACING_H
#define BPFBENCH_TRACING_H

#include <bpf/bpf.h>

struct pt_regs {                /* x86-64: how the kernel saves registers */
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

#define PT_REGS_PARM1(regs) ((regs)->di)
#define PT_REGS_PARM2(regs) ((regs)->si)
#define PT_REGS_PARM3(regs) ((regs)->dx)
#define PT_REGS_PARM4(regs) ((regs)->cx)
#define PT_REGS_PARM5(regs) ((regs)->r8)
#define PT_REGS_RC(regs)    ((regs)->ax)
#define PT_REGS_IP(regs)    ((regs)->ip)
#define PT_REGS_SP(regs)    ((regs)->sp)

/* What a tracepoint hands to a program begins with these eight bytes. */
struct trace_entry { __u16 type; __u8 flags, preempt_count; __s32 pid; };

struct trace_event_raw_sys_enter { struct trace_entry ent; long id; unsigned long args[6]; };

struct trace_event_raw_sys_exit { struct trace_entry ent; long id, ret; };

#endif
