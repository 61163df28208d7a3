/* What the code generators of arch/.../net need of a kernel, so that they can be compiled as a plain program: the
 * instruction set comes from the system's <linux/bpf.h>, memory is malloc, and everything about protection, caches and
 * statistics is nothing.  Addresses that the generators ask for are made up; the comparison leaves them out. */
#pragma once
#include <errno.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#undef __BIG_ENDIAN

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

/* numbers */
#define BIT(n) (1UL << (n))
#define U32_MAX 0xffffffffu
#define S32_MAX 0x7fffffff
#define S32_MIN (-S32_MAX - 1)
#define BITS_PER_BYTE 8
#define BITS_PER_LONG 64
#define ALIGN(x, a) (((x) + (a) - 1) & ~((typeof(x))(a) - 1))
#define round_up(x, a) ALIGN(x, a)
#define IS_ALIGNED(x, a) (((x) & ((a) - 1)) == 0)
#define hweight16(x) __builtin_popcount((u16)(x))
#define hweight32(x) __builtin_popcount((u32)(x))
#define is_power_of_2(n) ((n) && !((n) & ((n) - 1)))
#define ilog2(n) (31 - __builtin_clz((u32)(n)))
#define max(a, b) ((a) > (b) ? (a) : (b))
static inline u32 rol32(u32 v, unsigned s) { return v << (s & 31) | v >> (-s & 31); }
static inline u32 ror32(u32 v, unsigned s) { return v >> (s & 31) | v << (-s & 31); }
static inline void memset32(void *p, u32 v, size_t n) { for (u32 *q = p; n--;) *q++ = v; }

/* IS_ENABLED(CONFIG_X): is CONFIG_X defined as 1? */
#define ARGUMENT_1 0,
#define SECOND(ignored, value, ...) value
#define ENABLED_(arg) SECOND(arg 1, 0)
#define ENABLED(value) ENABLED_(ARGUMENT_##value)
#define IS_ENABLED(option) ENABLED(option)

/* compiler, messages, memory */
#define BUILD_BUG_ON(x)
#define fallthrough __attribute__((fallthrough))
#define likely(x) (x)
#define unlikely(x) (x)
#define __init
#define EXPORT_SYMBOL(x)
#define KERN_WARNING ""
#define pr_info(...)
#define pr_info_once(...)
#define pr_err(...)
#define pr_err_once(...)
#define pr_err_ratelimited(...)
#define WARN(x, ...) (x)
#define WARN_ON(x) (x)
#define WARN_ON_ONCE(x) (x)
#define WARN_ONCE(x, ...) (x)
#define BUG() abort()
#define panic(...) abort()
#define GFP_KERNEL 0
#define kcalloc(n, size, flags) calloc(n, size)
#define kzalloc(size, flags) calloc(1, size)
#define kfree free
#define kvfree free
#define ENOTSUPP 524
#define IS_ERR(p) 0
#define ERR_PTR(x) ((void *)(long)(x))
#define flush_icache_range(from, to)
#define smp_wmb()

/* eBPF inside the kernel */
#define MAX_BPF_REG 11
#define BPF_REG_FP BPF_REG_10
#define BPF_REG_AX MAX_BPF_REG
#define MAX_BPF_JIT_REG (MAX_BPF_REG + 1)
#define BPF_TAIL_CALL 0xf0
#define BPF_PROBE_MEM 0x20
#define BPF_PROBE_MEMSX 0x40
#define BPF_NOSPEC 0xc0
#define MAX_TAIL_CALL_CNT 33
#ifndef BPF_MEMSX
#define BPF_MEMSX 0x80
#endif
struct bpf_binary_header { u32 size; };
struct bpf_jit_poke_descriptor;
struct exception_table_entry { int insn, fixup, type, data; };
struct bpf_prog_aux {
	u32 stack_depth, num_exentries;
	bool verifier_zext, tail_call_reachable, exception_boundary, exception_cb;
	int func_idx;
	void *extable, *jit_data;
	struct bpf_jit_poke_descriptor *poke_tab;
};
struct bpf_prog {
	u32 len, jited_len;
	bool jit_requested, is_func, jited;
	struct bpf_prog_aux *aux;
	void *bpf_func;
	struct bpf_insn *insnsi;
};
struct btf_func_model { u8 nr_args, arg_size[12], arg_flags[12]; };
#define BTF_FMODEL_SIGNED_ARG 2
#define bpf_jit_find_kfunc_model(prog, insn) ((struct btf_func_model *)0)
static inline bool insn_is_zext(const struct bpf_insn *i) { return i->code == (BPF_ALU | BPF_MOV | BPF_X) && i->imm == 1; }

/* where images go */
static int bpf_jit_enable;
static struct bpf_binary_header the_header;
static inline struct bpf_binary_header *bpf_jit_binary_alloc(unsigned n, u8 **image, unsigned align, void (*fill)(void *, unsigned))
{
	*image = aligned_alloc(64, (n + 127) & ~63u);
	fill(*image, n);
	return &the_header;
}
static inline struct bpf_binary_header *bpf_jit_binary_pack_alloc(unsigned n, u8 **image, unsigned align, struct bpf_binary_header **rw,
								  u8 **rw_image, void (*fill)(void *, unsigned), bool classic)
{
	*rw = bpf_jit_binary_alloc(n, image, align, fill);
	*rw_image = *image;
	return *rw;
}
#define bpf_jit_binary_pack_finalize(ro, rw) 0
#define bpf_jit_binary_pack_free(ro, rw)
#define bpf_jit_binary_pack_hdr(prog) 0
#define bpf_jit_binary_lock_ro(header) 0
#define bpf_jit_binary_free(header)
#define bpf_jit_blind_constants(prog) (prog)
#define bpf_jit_prog_release_other(prog, other)
#define bpf_jit_dump(...)
#define bpf_prog_fill_jited_linfo(...)
#define bpf_prog_was_classic(prog) false
#define bpf_prog_kallsyms_verify_off(prog) true
#define bpf_prog_unlock_free(prog)

/* addresses: helpers are in the kernel's text, functions of the program nobody knows at first */
#ifndef HELPER_BASE
#define HELPER_BASE 0xc000000000123450ULL
#endif
static inline int bpf_jit_get_func_addr(const struct bpf_prog *prog, const struct bpf_insn *insn, bool extra_pass, u64 *addr, bool *fixed)
{
	*fixed = insn->src_reg != BPF_PSEUDO_CALL;
	*addr = *fixed ? HELPER_BASE + insn->imm : extra_pass ? 0xc008000012345678ULL : 0;
	return 0;
}
