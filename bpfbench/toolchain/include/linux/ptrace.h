/* SPDX-License-Identifier: BSD-3-Clause */
/* The usual name of <bpf/tracing.h>. */
#include <bpf/tracing.h>
