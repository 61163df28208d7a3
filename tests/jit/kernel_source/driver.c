/* Reads one program a line, "stack-depth zero-extensions-inserted hex-of-instructions"; prints its image in hex, or
 * "refused". */
struct bpf_prog *bpf_int_jit_compile(struct bpf_prog *prog);

/* Is there a tail call?  Its immediate becomes 0: no direct jump to be patched. */
static bool tail_calls(u8 *raw, size_t len)
{
	bool found = false;

	for (size_t i = 0; i < len; i += raw[8 * i] == 0x18 ? 2 : 1)
		if (raw[8 * i] == 0xf5) {
			memset(raw + 8 * i + 4, 0, 4);
			found = true;
		}
	return found;
}

int main(void)
{
	static char line[1 << 24];

	while (fgets(line, sizeof(line), stdin)) {
		unsigned int depth, byte;
		int zext, at = 0;

		sscanf(line, "%u %d %n", &depth, &zext, &at);
		size_t len = strspn(line + at, "0123456789abcdef") / 16;
		u8 *raw = calloc(len + 2, 8);
		for (size_t i = 0; i < len * 8; i++) {
			sscanf(line + at + 2 * i, "%2x", &byte);
			raw[i] = byte;
		}
		struct bpf_prog_aux aux = { .stack_depth = depth, .verifier_zext = zext, .tail_call_reachable = tail_calls(raw, len) };
		struct bpf_prog prog = { .len = len, .jit_requested = true, .aux = &aux, .insnsi = (struct bpf_insn *)raw };
		bpf_int_jit_compile(&prog);
		for (u32 i = 0; prog.jited && i < prog.jited_len; i++)
			printf("%02x", ((u8 *)prog.bpf_func)[i]);
		printf(prog.jited ? "\n" : "refused\n");
		free(raw);
	}
	return 0;
}
