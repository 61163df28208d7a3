/* ARMv7 with hardware division, as Debian's armmp kernel on a Cortex-A15. */
#include "stubs.h"
#define __LINUX_ARM_ARCH__ 7
#define CONFIG_AEABI 1
#define HWCAP_IDIVA 1
#define HWCAP_THUMB 2
static u32 elf_hwcap = HWCAP_IDIVA | HWCAP_THUMB;
#define CPU_ARCH_ARMv5TE 5
#define cpu_architecture() 9
#define __opcode_to_mem_arm(word) (word)
#define __bpf_call_base 0xc0123457
#define div64_u64(n, d) ((n) / (d))
#define div64_s64(n, d) ((n) / (d))
#define div64_u64_rem(n, d, rem) (*(rem) = (n) % (d))
