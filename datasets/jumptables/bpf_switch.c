// Dense switches, in a program and in a function that it calls: from LLVM 22 on, instruction set v4 has tables for them.
//
//     clang-22 -target bpf -mcpu=v4 -O2 -g -ffile-prefix-map=$PWD=. -c bpf_switch.c -o bpf_switch.o      gotox, .jumptables
//     clang-22 -target bpf -mcpu=v3 -O2 -g -ffile-prefix-map=$PWD=. -c bpf_switch.c -o bpf_switch_v3.o   compares: reference
//
// Both then go through `llvm-strip -g`, which leaves the BTF.  The objects here are of Debian's clang 22.
struct __sk_buff {
	unsigned int len;
	unsigned int pkt_type;
	unsigned int mark;
	unsigned int queue_mapping;
	unsigned int protocol;
};

static __attribute__((noinline)) int weigh(unsigned int what, unsigned int by)
{
	switch (what) {
	case 0: return by + 3;
	case 1: return by * 7;
	case 2: return by ^ 0x55;
	case 3: return by >> 2;
	case 4: return by << 3;
	case 5: return 19;
	case 6: return by * by;
	case 7: return by / 5;
	case 8: return by % 11;
	case 10: return by | 64;
	case 11: return by & 0x1c;
	case 12: return 2 - by;
	case 13: return ~by;
	case 14: return by * 3 + 1;
	}
	return -1;
}

__attribute__((section("tc"), used)) int first(struct __sk_buff *skb)
{
	return weigh(skb->mark & 15, skb->len);
}

__attribute__((section("tc"), used)) int steps(struct __sk_buff *skb)
{
	unsigned int total = 0, state = skb->mark;

	for (int i = 0; i < 24; i++) {
		switch (state) {
		case 0: total += 3; state = 5; break;
		case 1: total *= 7; state = 9; break;
		case 2: total ^= 0x1234; state = 13; break;
		case 3: total += skb->len; state = 7; break;
		case 4: total <<= 1; state = 12; break;
		case 5: total += weigh(total & 15, i); state = 3; break;
		case 6: skb->mark = total; state = 2; break;
		case 7: total -= 1; state = 6; break;
		case 8: return total;
		case 9: total /= 3; state = 4; break;
		case 10: total = ~total; state = 8; break;
		case 12: total |= 4; state = 14; break;
		case 13: total += i; state = total & 1 ? 10 : 1; break;
		case 14: total %= 1001; state = 0; break;
		default: return -2;
		}
	}
	return total;
}

char _license[] __attribute__((section("license"), used)) = "GPL";
