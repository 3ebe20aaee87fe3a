//! Seccomp (seccomp(2)): system calls that a file server never makes are refused.
//!
//! The filter lists what is refused instead of what is allowed: a new version of the C library or of a name service's
//! module that makes other calls than the one before continues to work. Calls that are newer than this list do not
//! exist for the process, as on an older kernel.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use crate::Layer;

/// Restricts all threads of the process.
pub(crate) fn restrict() -> Layer {
    install(seccompiler::apply_filter_all_threads)
}

/// Restricts the calling thread.
pub(crate) fn restrict_thread() -> Layer {
    install(seccompiler::apply_filter)
}

fn install(apply: impl Fn(&[sock_filter]) -> seccompiler::Result<()>) -> Layer {
    let filters = match filters() {
        Ok(filters) => filters,
        Err(error) => return Layer::Missing(error.to_string()),
    };
    for filter in &filters {
        if let Err(error) = apply(filter) {
            return Layer::Missing(error.to_string());
        }
    }
    Layer::Active(format!("{} refused", ENDING.len() + REFUSED.len() + ABSENT.len()))
}

/// One filter for each answer; the kernel takes the most severe answer of all.
fn filters() -> Result<Vec<BpfProgram>, BackendError> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let program = |rules, answer| -> Result<BpfProgram, BackendError> {
        SeccompFilter::new(rules, SeccompAction::Allow, answer, arch)?.try_into()
    };
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let mut refused = whole(REFUSED);
    refused.extend(partly_refused()?);
    let mut absent = newer_calls();
    absent.extend(program(whole(ABSENT), errno(libc::ENOSYS))?);
    Ok(vec![
        absent,
        program(other_sockets()?, errno(libc::EAFNOSUPPORT))?,
        program(refused, errno(libc::EPERM))?,
        program(whole(ENDING), SeccompAction::KillProcess)?,
    ])
}

/// Rules that match the calls with any arguments.
fn whole(calls: &[c_long]) -> BTreeMap<i64, Vec<SeccompRule>> {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// The calls that are refused with some arguments only.
fn partly_refused() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let has = |argument, mask: i32, value: i32| {
        let mask = u64::from(mask.cast_unsigned());
        let value = u64::from(value.cast_unsigned());
        rule(vec![(argument, SeccompCmpOp::MaskedEq(mask), value)])
    };
    let namespaces = NAMESPACES.iter().map(|flag| has(0, *flag, *flag)).collect::<Result<_, _>>()?;
    let device = |argument| -> Result<Vec<_>, BackendError> {
        let kind = libc::S_IFMT.cast_signed();
        [libc::S_IFCHR, libc::S_IFBLK].iter().map(|it| has(argument, kind, it.cast_signed())).collect()
    };
    let (write, execute) = (libc::PROT_WRITE, libc::PROT_EXEC);
    let writable_code = || Ok::<_, BackendError>(vec![has(2, write | execute, write | execute)?]);
    let new_code = || Ok::<_, BackendError>(vec![has(2, execute, execute)?]);
    Ok(BTreeMap::from([
        (libc::SYS_clone, namespaces),
        (libc::SYS_mknodat, device(2)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_mknod, device(1)?),
        (libc::SYS_mmap, writable_code()?),
        (libc::SYS_mprotect, new_code()?),
        (libc::SYS_pkey_mprotect, new_code()?),
    ]))
}

/// Sockets of other kinds than those of the server and of name services.
fn other_sockets() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
    let other = SOCKETS.iter().map(|family| {
        let family = u64::from(family.cast_unsigned());
        (0, SeccompCmpOp::Ne, family)
    });
    let other: Vec<_> = other.collect();
    Ok(BTreeMap::from([
        (libc::SYS_socket, vec![rule(other.clone())?]),
        (libc::SYS_socketpair, vec![rule(other)?]),
    ]))
}

/// A rule with conditions on the lower halves of arguments.
fn rule(conditions: Vec<(u8, SeccompCmpOp, u64)>) -> Result<SeccompRule, BackendError> {
    let conditions = conditions.into_iter().map(|(argument, operator, value)| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

/// The beginning of a filter: calls with a number above [`LATEST`] do not exist. On x86-64, these include all of the x32
/// ABI, which has the same calls under other numbers.
fn newer_calls() -> BpfProgram {
    let load_number = sock_filter { code: BPF_LD_W_ABS, jt: 0, jf: 0, k: 0 };
    let skip_known = sock_filter { code: BPF_JMP_JGT_K, jt: 0, jf: 1, k: LATEST };
    let absent = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    vec![load_number, skip_known, sock_filter { code: BPF_RET_K, jt: 0, jf: 0, k: absent }]
}

/// Calls that end the process: only an attacker makes them.
const ENDING: &[c_long] = &[
    // Control over other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    // Code in the kernel.
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    // Mounts.
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_umount2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Calls that fail with EPERM: a library might try them.
const REFUSED: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_chroot,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_acct,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_settimeofday,
    libc::SYS_fanotify_init,
    libc::SYS_kcmp,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Calls that fail with ENOSYS, as on a kernel without them; libraries have substitutes. The flags of `clone3` are in
/// memory, where a filter cannot read them.
const ABSENT: &[c_long] = &[
    libc::SYS_clone3,
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
];

/// The flags of `clone` that make namespaces.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWUTS,
];

/// The families of sockets that can be opened.
const SOCKETS: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// The highest number of a call that was considered for these lists: `file_setattr` of Linux 6.17. From 424 on, the
/// numbers are the same on all processors.
const LATEST: u32 = 469;

const BPF_LD_W_ABS: u16 = 0x20;
const BPF_JMP_JGT_K: u16 = 0x25;
const BPF_RET_K: u16 = 0x06;
