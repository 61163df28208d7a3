/* x86-64 with mitigations off, as the kernels of the recordings; IBT since 6.12. */
#include <stdlib.h>
static unsigned char arena[1 << 25] __attribute__((aligned(64)));
static unsigned char *__bpf_call_base = arena;
#define aligned_alloc(a, n) ((void *)arena)
#include "stubs.h"
#include <assert.h>
#define barrier()
#define bpf_is_subprog(p) 0
#define bpf_arena_get_kern_vm_start(a) 0
#define bpf_arena_get_user_vm_start(a) 0
#define insn_is_cast_user(i) 0
#define insn_is_mov_percpu_addr(i) 0
#define BPF_PROBE_MEM32 0xa0
#define BPF_PROBE_ATOMIC 0xe0
#define OPTIMIZER_HIDE_VAR(x)
#define x86_call_depth_emit_accounting(a, b, c) 0
#define cpu_feature_enabled(x) 0
#define cpu_wants_rethunk() 0
#define boot_cpu_has(x) (x)
#define X86_FEATURE_BMI2 1
#define X86_FEATURE_XMM2 1
#define CONFIG_SLS 1
#define CONFIG_MITIGATION_SLS 1
#define CONFIG_RETPOLINE 1
#define CONFIG_MITIGATION_RETPOLINE 1
#define cfi_get_offset() 0
#define CFI_FINEIBT 1
#define CFI_KCFI 2
static int cfi_mode; static unsigned cfi_bpf_hash, cfi_bpf_subprog_hash;
#define gen_endbr() 0xfa1e0ff3
#define gen_endbr_poison() 0x001f0f66
#define cond_resched()
#define kvmalloc_array(n, s, f) calloc(n, s)
#define kmalloc_array(n, s, f) calloc(n, s)
#define EX_TYPE_BPF 1
#define ASM_NOP_MAX 8
static unsigned char N[9][9] = {"", "\x90", "\x66\x90", "\x0f\x1f\x00", "\x0f\x1f\x40\x00", "\x0f\x1f\x44\x00\x00"};
static unsigned char *x86_nops[9] = {N[0], N[1], N[2], N[3], N[4], N[5], N[6], N[7], N[8]};
#define TASK_SIZE_MAX 0x7ffffffff000UL
#define PAGE_SIZE 4096
#define VSYSCALL_ADDR (-10UL << 20)
#define ns_capable_noaudit(a, b) 1
struct pt_regs { unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip; };
struct bpf_jit_poke_descriptor { void *tailcall_target, *tailcall_bypass, *bypass_addr; int adj_off; };
#define __ro_after_init
static int init_user_ns; enum { CAP_SYS_ADMIN };
#define roundup(x, a) ALIGN(x, a)
#undef bpf_jit_binary_pack_finalize
#define bpf_jit_binary_pack_finalize(...) 0
#ifdef KERNEL_6_12
#define CONFIG_X86_KERNEL_IBT 1
#define ENDBR_INSN_SIZE 4
#else
#define ENDBR_INSN_SIZE 0
#endif
