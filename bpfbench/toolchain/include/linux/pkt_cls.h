/* SPDX-License-Identifier: BSD-3-Clause */
/* The usual name of <bpf/bpf.h>. */
#include <bpf/bpf.h>
