/* SPDX-License-Identifier: BSD-3-Clause */
/* Byte order: network order to host order and back. */
#ifndef BPFBENCH_ENDIAN_H
#define BPFBENCH_ENDIAN_H

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define bpf_htons(x) ((__be16)(__builtin_constant_p(x) ? (((x) & 0xff) << 8 | ((x) >> 8 & 0xff)) : __builtin_bswap16(x)))
#define bpf_htonl(x) __builtin_bswap32(x)
#define bpf_cpu_to_be64(x) __builtin_bswap64(x)
#else
#define bpf_htons(x) (x)
#define bpf_htonl(x) (x)
#define bpf_cpu_to_be64(x) (x)
#endif

#define bpf_ntohs(x) bpf_htons(x)
#define bpf_ntohl(x) bpf_htonl(x)
#define bpf_be64_to_cpu(x) bpf_cpu_to_be64(x)

#endif
