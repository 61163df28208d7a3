/* SPDX-License-Identifier: BSD-3-Clause */
/* Shared libraries for BPF: what an object says of itself.  Format and rules: docs/dynlink.md.
 *
 *	BPF_LIBRARY("checksum 1.2");		this object is library checksum, version 1.2
 *	BPF_NEEDS("checksum 1.1");		this object calls functions of checksum 1.1 or a later 1.x
 *
 * A library exports its global functions that are not __hidden; what is declared and not defined is imported. */
#ifndef BPFBENCH_LIBRARY_H
#define BPFBENCH_LIBRARY_H

#define BPF_LIBRARY_NAME_(number) bpf_library_##number
#define BPF_LIBRARY_NAME(number) BPF_LIBRARY_NAME_(number)
#define BPF_LIBRARY(text) static const char BPF_LIBRARY_NAME(__COUNTER__)[] \
	__attribute__((section(".bpf.library"), used)) = text
#define BPF_NEEDS(text) static const char BPF_LIBRARY_NAME(__COUNTER__)[] \
	__attribute__((section(".bpf.needs"), used)) = text

#endif
