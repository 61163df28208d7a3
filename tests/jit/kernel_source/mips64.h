/* MIPS64 release 2, little endian, as Debian's 5kc-malta kernel. */
#define HELPER_BASE 0xffffffff81234560ULL
#include "stubs.h"
#define CONFIG_64BIT 1
#define CONFIG_CPU_MIPSR2 1
#define CONFIG_CPU_LITTLE_ENDIAN 1
#define cpu_has_mips32r1 1
#define cpu_has_mips32r2 1
#define cpu_has_mips64r2 1
#define cpu_has_mips32r6 0
#define cpu_has_mips64r6 0
#define r4k_daddiu_bug() 0
#define BRK_BUG 12
#define R_MIPS_26 4
#define R_MIPS_PC16 10
#define UASM_EXPORT_SYMBOL(x)
#define __BITFIELD_FIELD(field, more) more field;
