/* SPDX-License-Identifier: BSD-3-Clause */
/* CO-RE: fields of kernel structures wherever this kernel has them.
 *
 * The compiler records each access as a path through the types; the loader puts in the offset of the kernel it finds. */
#ifndef BPFBENCH_CORE_H
#define BPFBENCH_CORE_H

#include <bpf/helpers.h>

/* Structures declared between these two are relocated. */
#define CORE_BEGIN _Pragma("clang attribute push(__attribute__((preserve_access_index)), apply_to = record)")
#define CORE_END   _Pragma("clang attribute pop")

enum { CORE_FIELD_OFFSET, CORE_FIELD_SIZE, CORE_FIELD_EXISTS, CORE_FIELD_SIGNED, CORE_FIELD_LSHIFT, CORE_FIELD_RSHIFT };

#define bpf_core_field_exists(field) __builtin_preserve_field_info(field, CORE_FIELD_EXISTS)
#define bpf_core_field_size(field)   __builtin_preserve_field_info(field, CORE_FIELD_SIZE)
#define bpf_core_field_offset(field) __builtin_preserve_field_info(field, CORE_FIELD_OFFSET)
#define bpf_core_type_id_local(type)  __builtin_btf_type_id(*(typeof(type) *)0, 0)
#define bpf_core_type_id_kernel(type) __builtin_btf_type_id(*(typeof(type) *)0, 1)
#define bpf_core_type_exists(type)  __builtin_preserve_type_info(*(typeof(type) *)0, 0)
#define bpf_core_type_size(type)    __builtin_preserve_type_info(*(typeof(type) *)0, 1)
#define bpf_core_type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, 2)
#define bpf_core_enum_value_exists(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 0)
#define bpf_core_enum_value(type, value)        __builtin_preserve_enum_value(*(typeof(type) *)value, 1)

#define bpf_core_read(to, size, from) bpf_probe_read_kernel(to, size, (const void *)__builtin_preserve_access_index(from))
#define bpf_core_read_str(to, size, from) \
	bpf_probe_read_kernel_str(to, size, (const void *)__builtin_preserve_access_index(from))

/* A bit-field of a kernel structure: the bytes that hold it are read, then shifted into place. */
#define BPF_CORE_READ_BITFIELD_PROBED(s, field)                                                         \
	({                                                                                              \
		unsigned long long value = 0;                                                           \
		bpf_probe_read_kernel(&value, __builtin_preserve_field_info((s)->field, CORE_FIELD_SIZE), \
			(const void *)(s) + __builtin_preserve_field_info((s)->field, CORE_FIELD_OFFSET)); \
		value <<= __builtin_preserve_field_info((s)->field, CORE_FIELD_LSHIFT);                 \
		if (__builtin_preserve_field_info((s)->field, CORE_FIELD_SIGNED))                       \
			value = (long long)value >>                                                     \
				__builtin_preserve_field_info((s)->field, CORE_FIELD_RSHIFT);           \
		else                                                                                    \
			value >>= __builtin_preserve_field_info((s)->field, CORE_FIELD_RSHIFT);         \
		value;                                                                                  \
	})

/* BPF_CORE_READ(task, real_parent, tgid): follows up to five pointers. */
#define CORE_STEP(type, from, field) \
	({ typeof(((type)0)->field) to; bpf_core_read(&to, sizeof(to), &((type)(from))->field); to; })
#define CORE_1(s, a)             CORE_STEP(typeof(s), s, a)
#define CORE_2(s, a, b)          ({ typeof((s)->a) x1 = CORE_1(s, a); CORE_STEP(typeof(x1), x1, b); })
#define CORE_3(s, a, b, c)       ({ typeof((s)->a->b) x2 = CORE_2(s, a, b); CORE_STEP(typeof(x2), x2, c); })
#define CORE_4(s, a, b, c, d)    ({ typeof((s)->a->b->c) x3 = CORE_3(s, a, b, c); CORE_STEP(typeof(x3), x3, d); })
#define CORE_5(s, a, b, c, d, e) ({ typeof((s)->a->b->c->d) x4 = CORE_4(s, a, b, c, d); CORE_STEP(typeof(x4), x4, e); })
#define CORE_PICK(_1, _2, _3, _4, _5, name, ...) name
#define BPF_CORE_READ(s, ...) CORE_PICK(__VA_ARGS__, CORE_5, CORE_4, CORE_3, CORE_2, CORE_1)(s, __VA_ARGS__)

#endif
