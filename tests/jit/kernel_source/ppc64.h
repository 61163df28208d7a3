/* PPC64, little endian, ELF ABI version 2, POWER9, as Debian's powerpc64le kernel. */
#include "stubs.h"
#define CONFIG_PPC64 1
#define CONFIG_PPC64_ELF_ABI_V2 1
#define CONFIG_PPC_BOOK3S_64 1
#define CONFIG_CPU_LITTLE_ENDIAN 1
#define CONFIG_SMP 1
#define ASM_CONST(x) x##UL
#define _AC(x, suffix) x##suffix
#define PPC_LR_STKOFF 16
#define STACK_FRAME_MIN_SIZE 32
#define BREAKPOINT_INSTRUCTION 0x7fe00008
#define PAGE_OFFSET 0xc000000000000000UL
#define ppc_function_entry(function) ((unsigned long)(function))
#define core_kernel_text(address) ((address) >> 48 == 0xc000)
#define is_module_text_address(address) 0
#define kernel_toc_addr() 0xc000000000800000UL
#define dereference_kernel_function_descriptor(function) (function)
#define cpu_has_feature(feature) 1
#define security_ftr_enabled(feature) 1
#define stf_barrier_type_get() STF_BARRIER_EIEIO
#define mutex_lock(lock)
#define mutex_unlock(lock)
#define patch_instructions(to, from, length, repeat) 0
enum stf_barrier_type { STF_BARRIER_NONE = 1, STF_BARRIER_FALLBACK = 2, STF_BARRIER_EIEIO = 4, STF_BARRIER_SYNC_ORI = 8 };
void *bpf_arch_text_copy(void *to, void *from, size_t length);
static inline bool is_offset_in_branch_range(long off) { return off >= -0x2000000 && off <= 0x1fffffc && !(off & 3); }
static inline bool is_offset_in_cond_branch_range(long off) { return off >= -0x8000 && off <= 0x7fff && !(off & 3); }
enum { _R0, _R1, _R2, _R3, _R4, _R5, _R6, _R7, _R8, _R9, _R10, _R11, _R12, _R13, _R14, _R15, _R16, _R17, _R18, _R19, _R20, _R21, _R22, _R23, _R24, _R25, _R26, _R27, _R28, _R29, _R30, _R31 };
