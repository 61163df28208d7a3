/* SPDX-License-Identifier: BSD-3-Clause */
/* The usual name of <bpf/net.h>. */
#include <bpf/net.h>
