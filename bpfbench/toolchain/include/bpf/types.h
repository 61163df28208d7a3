/* SPDX-License-Identifier: BSD-3-Clause */
/* Integer types under the names that kernel programs use. */
#ifndef BPFBENCH_TYPES_H
#define BPFBENCH_TYPES_H

typedef unsigned char      __u8,  u8;
typedef signed char        __s8,  s8;
typedef unsigned short     __u16, u16, __be16, __le16, __sum16;
typedef signed short       __s16, s16;
typedef unsigned int       __u32, u32, __be32, __le32, __wsum;
typedef signed int         __s32, s32;
typedef unsigned long long __u64, u64, __be64, __le64;
typedef signed long long   __s64, s64;

#ifndef __cplusplus
typedef _Bool bool;
#define true  1
#define false 0
#endif
#ifndef NULL
#define NULL ((void *)0)
#endif

#endif
