/* SPDX-License-Identifier: BSD-3-Clause */
/* The usual name of <bpf/types.h>. */
#include <bpf/types.h>
