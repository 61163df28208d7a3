/* AArch64 with LSE atomics and pointer authentication, as Debian's arm64 kernel on QEMU -cpu max. */
#include <stdlib.h>
static unsigned char arena[1 << 24] __attribute__((aligned(64)));
#define HELPER_BASE 0xffff800000123450ULL
#define aligned_alloc(a, n) ((void *)arena)
#include "stubs.h"
#include <assert.h>
#define CONFIG_ARM64_LSE_ATOMICS 1
#define CONFIG_ARM64_PTR_AUTH_KERNEL 1
#define bpf_is_subprog(p) 0
#define bpf_arena_get_kern_vm_start(a) 0
#define bpf_arena_get_user_vm_start(a) 0
#define insn_is_cast_user(i) 0
#define insn_is_mov_percpu_addr(i) 0
#define bpf_pseudo_func(i) ((i)->code == 0x18 && (i)->src_reg == 4)
#define BPF_PROBE_MEM32 0xa0
#define BPF_PROBE_ATOMIC 0xe0
#define GENMASK(h, l) (((~0UL) << (l)) & (~0UL >> (63 - (h))))
#define GENMASK_ULL GENMASK
#define FIELD_GET(m, v) (((v) & (m)) >> __builtin_ctzl(m))
#define FIELD_PREP(m, v) (((v) << __builtin_ctzl(m)) & (m))
#define FIELD_FIT(m, v) 1
#define EX_TYPE_BPF 1
#define cpu_to_le32(x) (x)
#define le32_to_cpu(x) (x)
#define __le32 u32
#define __kprobes
#define SZ_128M 0x8000000
#define SZ_1M 0x100000
#define SZ_4K 0x1000
#define round_down(x, a) ((x) & ~((typeof(x))(a) - 1))
#define fls64(x) ((x) ? 64 - __builtin_clzll(x) : 0)
#define __ffs64(x) __builtin_ctzll(x)
#define __ffs(x) __builtin_ctzl(x)
#define fls(x) ((x) ? 32 - __builtin_clz(x) : 0)
#define hweight64 __builtin_popcountll
#define __always_inline inline
#define static_assert(...)
#define kvcalloc(n, s, f) calloc(n, s)
#define cpus_have_cap(x) ((x) == 1)
#define ARM64_HAS_LSE_ATOMICS 1
#define ARM64_HAS_VIRT_HOST_EXTN 2
#define sizeof_field(t, m) sizeof(((t *)0)->m)
#define cond_resched()
#define AARCH64_BREAK_FAULT 0xd4202000
#define VIRTUAL 0
#define cpu_mitigations_off() 1
#define __nospectre_bhb 1
struct pt_regs { unsigned long regs[31], sp, pc; };
#define SZ_2M 0x200000
#define SZ_128K 0x20000
#define FAULT_BRK_IMM 0x100
#undef AARCH64_BREAK_FAULT
#define KERNEL_HWCAP 0
#define SZ_64K 0x10000
#define SZ_32 32
#define SZ_64 64
#define ALIGN_DOWN(x, a) ((x) & ~((typeof(x))(a) - 1))
#define BUG_ON(x)
void dummy_tramp(void) {}
