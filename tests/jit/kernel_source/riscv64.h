/* RISC-V 64 with C, Zba and Zbb, as Debian's riscv64 kernel on QEMU; helpers lie within reach of auipc. */
#include <stdlib.h>
static unsigned char arena[1 << 24] __attribute__((aligned(64)));
#define HELPER_BASE ((unsigned long)arena + 0x8000000)
#define aligned_alloc(a, n) ((void *)arena)
#include "stubs.h"
#define __riscv_xlen 64
#define CONFIG_SMP 1
#define CONFIG_64BIT 1
#define CONFIG_RISCV_ISA_C 1
#define CONFIG_RISCV_ISA_ZBA 1
#define CONFIG_RISCV_ISA_ZBB 1
#define riscv_has_extension_likely(x) 1
#define STACK_ALIGN 16
#define cfi_get_offset() 0
#define bpf_is_subprog(p) 0
#define bpf_arena_get_kern_vm_start(a) 0
#define bpf_arena_get_user_vm_start(a) 0
#define insn_is_cast_user(i) 0
#define insn_is_mov_percpu_addr(i) 0
#define BPF_PROBE_MEM32 0xa0
#define BPF_PROBE_ATOMIC 0xe0
#define GENMASK(h, l) (((~0UL) << (l)) & (~0UL >> (63 - (h))))
#define FIELD_GET(m, v) (((v) & (m)) >> __builtin_ctzl(m))
#define FIELD_PREP(m, v) (((v) << __builtin_ctzl(m)) & (m))
#define FIELD_FIT(m, v) 1
#define EX_TYPE_BPF 1
#define __ffs(x) __builtin_ctzl(x)
struct pt_regs { unsigned long a0, a1, a2, a3, a4, a5, s1, s2, s3, s4, s5, t0, epc; };
extern char __per_cpu_offset;
static unsigned cfi_bpf_hash, cfi_bpf_subprog_hash;
enum { BPF_JIT_REGION_SIZE = 1 };
#define __set_bit(n, p) (*(p) |= 1UL << (n))
#define test_bit(n, p) (*(p) >> (n) & 1)
#define bpf_pseudo_func(i) ((i)->code == 0x18 && (i)->src_reg == 4)
