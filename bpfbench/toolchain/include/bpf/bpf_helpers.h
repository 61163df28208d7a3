/* SPDX-License-Identifier: BSD-3-Clause */
/* The usual name of <bpf/helpers.h>. */
#include <bpf/helpers.h>
