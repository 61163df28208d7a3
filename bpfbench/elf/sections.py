"""What the name of a section says about the program in it: libbpf's rules, as a table.

A rule matches the whole name, or, when it ends in `+`, the name alone or followed by `/` and what to attach to:
`kprobe/do_unlinkat` is a kprobe program for `do_unlinkat`, but `xdp/eth0` is nothing.  A `?` in front means that the
program is not to be loaded unless asked for, and does not belong to the name.

Source: tools/lib/bpf/libbpf.c (section_defs, sec_def_matches), Documentation/bpf/libbpf/program_types.rst.
"""

from __future__ import annotations

from typing import Final, final

#   attach types that appear below, by number: include/uapi/linux/bpf.h, enum bpf_attach_type
ATTACH_TYPES: Final = (
    "cgroup_inet_ingress cgroup_inet_egress cgroup_inet_sock_create cgroup_sock_ops sk_skb_stream_parser "
    "sk_skb_stream_verdict cgroup_device sk_msg_verdict cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect "
    "cgroup_inet6_connect cgroup_inet4_post_bind cgroup_inet6_post_bind cgroup_udp4_sendmsg cgroup_udp6_sendmsg "
    "lirc_mode2 flow_dissector cgroup_sysctl cgroup_udp4_recvmsg cgroup_udp6_recvmsg cgroup_getsockopt "
    "cgroup_setsockopt trace_raw_tp trace_fentry trace_fexit modify_return lsm_mac trace_iter "
    "cgroup_inet4_getpeername cgroup_inet6_getpeername cgroup_inet4_getsockname cgroup_inet6_getsockname xdp_devmap "
    "cgroup_inet_sock_release xdp_cpumap sk_lookup xdp sk_skb_verdict sk_reuseport_select "
    "sk_reuseport_select_or_migrate perf_event trace_kprobe_multi lsm_cgroup struct_ops netfilter tcx_ingress "
    "tcx_egress trace_uprobe_multi cgroup_unix_connect cgroup_unix_sendmsg cgroup_unix_recvmsg "
    "cgroup_unix_getpeername cgroup_unix_getsockname netkit_primary netkit_peer trace_kprobe_session "
    "trace_uprobe_session"
).split()

SLEEPABLE: Final = 1 << 4        # BPF_F_SLEEPABLE of the load flags
XDP_FRAGS: Final = 1 << 5        # BPF_F_XDP_HAS_FRAGS

#   rule                      program type              attach type                      load flags
_RULES: Final = """
    socket                    socket_filter             -                                -
    sk_reuseport/migrate      sk_reuseport              sk_reuseport_select_or_migrate   -
    sk_reuseport              sk_reuseport              sk_reuseport_select              -
    kprobe+                   kprobe                    -                                -
    uprobe+                   kprobe                    -                                -
    uprobe.s+                 kprobe                    -                                sleepable
    kretprobe+                kprobe                    -                                -
    uretprobe+                kprobe                    -                                -
    uretprobe.s+              kprobe                    -                                sleepable
    kprobe.multi+             kprobe                    trace_kprobe_multi               -
    kretprobe.multi+          kprobe                    trace_kprobe_multi               -
    kprobe.session+           kprobe                    trace_kprobe_session             -
    uprobe.multi+             kprobe                    trace_uprobe_multi               -
    uretprobe.multi+          kprobe                    trace_uprobe_multi               -
    uprobe.session+           kprobe                    trace_uprobe_session             -
    uprobe.multi.s+           kprobe                    trace_uprobe_multi               sleepable
    uretprobe.multi.s+        kprobe                    trace_uprobe_multi               sleepable
    uprobe.session.s+         kprobe                    trace_uprobe_session             sleepable
    ksyscall+                 kprobe                    -                                -
    kretsyscall+              kprobe                    -                                -
    usdt+                     kprobe                    -                                -
    usdt.s+                   kprobe                    -                                sleepable
    tc/ingress                sched_cls                 tcx_ingress                      -
    tc/egress                 sched_cls                 tcx_egress                       -
    tcx/ingress               sched_cls                 tcx_ingress                      -
    tcx/egress                sched_cls                 tcx_egress                       -
    tc                        sched_cls                 -                                -
    classifier                sched_cls                 -                                -
    action                    sched_act                 -                                -
    netkit/primary            sched_cls                 netkit_primary                   -
    netkit/peer               sched_cls                 netkit_peer                      -
    tracepoint+               tracepoint                -                                -
    tp+                       tracepoint                -                                -
    raw_tracepoint+           raw_tracepoint            -                                -
    raw_tp+                   raw_tracepoint            -                                -
    raw_tracepoint.w+         raw_tracepoint_writable   -                                -
    raw_tp.w+                 raw_tracepoint_writable   -                                -
    tp_btf+                   tracing                   trace_raw_tp                     -
    fentry+                   tracing                   trace_fentry                     -
    fmod_ret+                 tracing                   modify_return                    -
    fexit+                    tracing                   trace_fexit                      -
    fentry.s+                 tracing                   trace_fentry                     sleepable
    fmod_ret.s+               tracing                   modify_return                    sleepable
    fexit.s+                  tracing                   trace_fexit                      sleepable
    freplace+                 ext                       -                                -
    lsm+                      lsm                       lsm_mac                          -
    lsm.s+                    lsm                       lsm_mac                          sleepable
    lsm_cgroup+               lsm                       lsm_cgroup                       -
    iter+                     tracing                   trace_iter                       -
    iter.s+                   tracing                   trace_iter                       sleepable
    syscall                   syscall                   -                                sleepable
    xdp.frags/devmap          xdp                       xdp_devmap                       frags
    xdp/devmap                xdp                       xdp_devmap                       -
    xdp.frags/cpumap          xdp                       xdp_cpumap                       frags
    xdp/cpumap                xdp                       xdp_cpumap                       -
    xdp.frags                 xdp                       xdp                              frags
    xdp                       xdp                       xdp                              -
    perf_event                perf_event                -                                -
    lwt_in                    lwt_in                    -                                -
    lwt_out                   lwt_out                   -                                -
    lwt_xmit                  lwt_xmit                  -                                -
    lwt_seg6local             lwt_seg6local             -                                -
    sockops                   sock_ops                  cgroup_sock_ops                  -
    sk_skb/stream_parser      sk_skb                    sk_skb_stream_parser             -
    sk_skb/stream_verdict     sk_skb                    sk_skb_stream_verdict            -
    sk_skb/verdict            sk_skb                    sk_skb_verdict                   -
    sk_skb                    sk_skb                    -                                -
    sk_msg                    sk_msg                    sk_msg_verdict                   -
    lirc_mode2                lirc_mode2                lirc_mode2                       -
    flow_dissector            flow_dissector            flow_dissector                   -
    cgroup_skb/ingress        cgroup_skb                cgroup_inet_ingress              -
    cgroup_skb/egress         cgroup_skb                cgroup_inet_egress               -
    cgroup/skb                cgroup_skb                -                                -
    cgroup/sock_create        cgroup_sock               cgroup_inet_sock_create          -
    cgroup/sock_release       cgroup_sock               cgroup_inet_sock_release         -
    cgroup/sock               cgroup_sock               cgroup_inet_sock_create          -
    cgroup/post_bind4         cgroup_sock               cgroup_inet4_post_bind           -
    cgroup/post_bind6         cgroup_sock               cgroup_inet6_post_bind           -
    cgroup/bind4              cgroup_sock_addr          cgroup_inet4_bind                -
    cgroup/bind6              cgroup_sock_addr          cgroup_inet6_bind                -
    cgroup/connect4           cgroup_sock_addr          cgroup_inet4_connect             -
    cgroup/connect6           cgroup_sock_addr          cgroup_inet6_connect             -
    cgroup/connect_unix       cgroup_sock_addr          cgroup_unix_connect              -
    cgroup/sendmsg4           cgroup_sock_addr          cgroup_udp4_sendmsg              -
    cgroup/sendmsg6           cgroup_sock_addr          cgroup_udp6_sendmsg              -
    cgroup/sendmsg_unix       cgroup_sock_addr          cgroup_unix_sendmsg              -
    cgroup/recvmsg4           cgroup_sock_addr          cgroup_udp4_recvmsg              -
    cgroup/recvmsg6           cgroup_sock_addr          cgroup_udp6_recvmsg              -
    cgroup/recvmsg_unix       cgroup_sock_addr          cgroup_unix_recvmsg              -
    cgroup/getpeername4       cgroup_sock_addr          cgroup_inet4_getpeername         -
    cgroup/getpeername6       cgroup_sock_addr          cgroup_inet6_getpeername         -
    cgroup/getpeername_unix   cgroup_sock_addr          cgroup_unix_getpeername          -
    cgroup/getsockname4       cgroup_sock_addr          cgroup_inet4_getsockname         -
    cgroup/getsockname6       cgroup_sock_addr          cgroup_inet6_getsockname         -
    cgroup/getsockname_unix   cgroup_sock_addr          cgroup_unix_getsockname          -
    cgroup/sysctl             cgroup_sysctl             cgroup_sysctl                    -
    cgroup/getsockopt         cgroup_sockopt            cgroup_getsockopt                -
    cgroup/setsockopt         cgroup_sockopt            cgroup_setsockopt                -
    cgroup/dev                cgroup_device             cgroup_device                    -
    struct_ops+               struct_ops                -                                -
    struct_ops.s+             struct_ops                -                                sleepable
    sk_lookup                 sk_lookup                 sk_lookup                        -
    netfilter                 netfilter                 netfilter                        -
"""

# A kernel refuses an attach type that it cannot guess for these; for the others libbpf leaves it 0 unless told.
_FLAGS: Final = {"-": 0, "sleepable": SLEEPABLE, "frags": XDP_FRAGS}


@final
class SectionRule:
    """A row: programs in sections that match `rule` have this type, attach type (number) and load flags."""

    __slots__ = ("rule", "type", "attach_type", "flags")

    def __init__(self, rule: str, type: str, attach_type: int, flags: int) -> None:
        self.rule = rule
        self.type = type
        self.attach_type = attach_type
        self.flags = flags

    def matches(self, name: str) -> bool:
        if self.rule[-1] == "+":
            return name == self.rule[:-1] or name.startswith(self.rule[:-1] + "/")
        return name == self.rule


def _table() -> list[SectionRule]:
    rows = [line.split() for line in _RULES.strip().splitlines()]
    return [SectionRule(r, t, ATTACH_TYPES.index(a) if a != "-" else 0, _FLAGS[f]) for r, t, a, f in rows]


SECTION_RULES: Final[list[SectionRule]] = _table()


def section_rule(name: str) -> SectionRule | None:
    """The first rule that matches a section's name, or None (libbpf then asks for the type).

    >>> section_rule("kprobe/do_unlinkat").type, section_rule("?tc/egress").attach_type, section_rule("xdp/eth0")
    ('kprobe', 47, None)
    """
    bare = name.removeprefix("?")
    for rule in SECTION_RULES:
        if rule.matches(bare):
            return rule
    return None


def attach_target(name: str) -> str:
    """What a program is to be attached to, by its section's name.

    >>> attach_target("tracepoint/syscalls/sys_enter_openat"), attach_target("xdp")
    ('syscalls/sys_enter_openat', '')
    """
    bare = name.removeprefix("?")
    rule = section_rule(bare)
    return bare[len(rule.rule) :] if rule is not None and rule.rule[-1] == "+" else ""
