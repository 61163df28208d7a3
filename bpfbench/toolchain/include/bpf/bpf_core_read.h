/* SPDX-License-Identifier: BSD-3-Clause */
/* The usual name of <bpf/core.h>. */
#include <bpf/core.h>
