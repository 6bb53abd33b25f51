//! Which system calls a box may make.
//!
//! A list of what is allowed; all else fails with `EPERM`. It follows the Docker engine's default profile
//! and leaves out what boxed code has no use for and what escapes were made of: other architectures' calls
//! (so that no filter on arguments can be gone around by a 32-bit call), `ptrace` and reading other
//! processes' memory, `io_uring`, `userfaultfd`, `bpf`, `perf`, the kernel's keys, namespaces, mounts,
//! handles of files, and every family of sockets but UNIX and internet.

use serde_json::{Value, json};

/// Calls that are allowed with any arguments.
const ALLOWED: &str = "
accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres
clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit
exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat
fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate
futex futex_requeue futex_wait futex_waitv futex_wake futimesat get_robust_list getcpu getcwd getdents
getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid
getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid
gettimeofday getuid getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel
io_destroy io_getevents io_pgetevents io_setup io_submit ioctl ioprio_get ioprio_set kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen
listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier memfd_create
mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall
munmap nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev
pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmsg removexattr rename renameat
renameat2 restart_syscall riscv_flush_icache riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop sendfile sendmmsg sendmsg
sendto set_robust_list set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr shmat shmctl shmdt
shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink symlinkat sync
sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink
unlinkat utime utimensat utimes vfork vmsplice wait4 waitid write writev
";

/// The flags of `clone` that make namespaces.
const NEW_NAMESPACES: u64 = 0x7E02_0000;
/// `EPERM`.
const EPERM: u32 = 1;
/// `ENOSYS`: a libc that meets it falls back from `clone3`, whose flags a filter cannot see, to `clone`.
const ENOSYS: u32 = 38;
/// `AF_UNIX`, `AF_INET`, `AF_INET6`.
const FAMILIES: [u32; 3] = [1, 2, 10];
/// Personalities of Linux as it is; all others change how memory is laid out, or act as another system.
const PERSONALITIES: [u32; 3] = [0x0, 0x8, 0xFFFF_FFFF];
/// The `ioctl`s that type into a terminal.
const TIOCSTI: u32 = 0x5412;

/// The profile, as an engine takes it.
pub(super) fn profile() -> Value {
    let all: Vec<&str> = ALLOWED.split_whitespace().filter(|name| *name != "ioctl").collect();
    let allow = "SCMP_ACT_ALLOW";
    let arg =
        |index: u32, value: u64, op: &str| json!([{"index": index, "value": value, "op": op}]);
    let mut calls = vec![
        json!({"names": all, "action": allow}),
        json!({"names": ["ioctl"], "action": allow, "args": arg(1, TIOCSTI.into(), "SCMP_CMP_NE")}),
        json!({"names": ["clone"], "action": allow, "args":
            [{"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]}),
        json!({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS}),
        json!({"names": ["socketpair"], "action": allow, "args": arg(0, 1, "SCMP_CMP_EQ")}),
    ];
    calls.extend(FAMILIES.map(|family| {
        json!({"names": ["socket"], "action": allow, "args": arg(0, family.into(), "SCMP_CMP_EQ")})
    }));
    calls.extend(PERSONALITIES.map(|one| {
        json!({"names": ["personality"], "action": allow, "args": arg(0, one.into(), "SCMP_CMP_EQ")})
    }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        // An architecture's own calls alone.
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": []},
        ],
        "syscalls": calls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_escapes_were_made_of_is_not_allowed() {
        let profile = profile();
        let calls = profile["syscalls"].as_array().unwrap();
        let allowed = |name: &str| {
            let names = |call: &Value| call["names"].as_array().unwrap().contains(&json!(name));
            let free =
                |call: &&Value| call["action"] == "SCMP_ACT_ALLOW" && call.get("args").is_none();
            calls.iter().filter(free).any(names)
        };
        for name in ["read", "execve", "openat2", "futex"] {
            assert!(allowed(name), "{name}");
        }
        for name in [
            "add_key",
            "bpf",
            "chroot",
            "clone",
            "clone3",
            "delete_module",
            "fanotify_init",
            "finit_module",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "init_module",
            "io_uring_enter",
            "io_uring_register",
            "io_uring_setup",
            "ioctl",
            "iopl",
            "ioperm",
            "kcmp",
            "kexec_file_load",
            "kexec_load",
            "keyctl",
            "lookup_dcookie",
            "mbind",
            "modify_ldt",
            "mount",
            "mount_setattr",
            "move_mount",
            "move_pages",
            "name_to_handle_at",
            "open_by_handle_at",
            "open_tree",
            "perf_event_open",
            "personality",
            "pidfd_getfd",
            "pivot_root",
            "process_madvise",
            "process_vm_readv",
            "process_vm_writev",
            "ptrace",
            "quotactl",
            "reboot",
            "request_key",
            "setdomainname",
            "sethostname",
            "setns",
            "settimeofday",
            "socket",
            "socketcall",
            "socketpair",
            "swapoff",
            "swapon",
            "syslog",
            "umount2",
            "unshare",
            "userfaultfd",
            "uselib",
            "vhangup",
        ] {
            assert!(!allowed(name), "{name}");
        }
    }
}
