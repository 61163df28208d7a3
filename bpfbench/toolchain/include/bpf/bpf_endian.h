/* SPDX-License-Identifier: BSD-3-Clause */
/* The usual name of <bpf/endian.h>. */
#include <bpf/endian.h>
