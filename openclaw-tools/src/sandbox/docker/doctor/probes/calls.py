# -- system calls -----------------------------------------------------------------------------------------

X86 = dict(
    unshare=272, setns=308, mount=165, umount2=166, pivot_root=155, chroot=161, fsopen=430, fsmount=432,
    fsconfig=431, fspick=433, open_tree=428, move_mount=429, mount_setattr=442, bpf=321,
    perf_event_open=298, ptrace=101, process_vm_readv=310, process_vm_writev=311, userfaultfd=323,
    keyctl=250, add_key=248, request_key=249, io_uring_setup=425, io_uring_enter=426,
    io_uring_register=427, open_by_handle_at=304, name_to_handle_at=303, kexec_load=246, init_module=175,
    finit_module=313, delete_module=176, reboot=169, syslog=103, swapon=167, swapoff=168, acct=163,
    settimeofday=164, clock_settime=227, sethostname=170, setdomainname=171, quotactl=179,
    personality=135, kcmp=312, pidfd_getfd=438, fanotify_init=300, vhangup=153, process_madvise=440,
    move_pages=279, mbind=237, iopl=172, ioperm=173, modify_ldt=154, clone=56, socket=41,
)
ARM = dict(
    unshare=97, setns=268, mount=40, umount2=39, pivot_root=41, chroot=51, fsopen=430, fsmount=432,
    fsconfig=431, fspick=433, open_tree=428, move_mount=429, mount_setattr=442, bpf=280,
    perf_event_open=241, ptrace=117, process_vm_readv=270, process_vm_writev=271, userfaultfd=282,
    keyctl=219, add_key=217, request_key=218, io_uring_setup=425, io_uring_enter=426,
    io_uring_register=427, open_by_handle_at=265, name_to_handle_at=264, kexec_load=104, init_module=105,
    finit_module=273, delete_module=106, reboot=142, syslog=116, swapon=224, swapoff=225, acct=89,
    settimeofday=170, clock_settime=112, sethostname=161, setdomainname=162, quotactl=60, personality=92,
    kcmp=272, pidfd_getfd=438, fanotify_init=262, vhangup=58, process_madvise=440, move_pages=239,
    mbind=235, clone=220, socket=198,
)
NUMBERS = X86 if platform.machine() == "x86_64" else ARM
BAD = ctypes.c_void_p(8)  # an address that nobody has

def call(name, *args):
    """The error of a call that is made in a process of its own; 0 if it succeeded."""
    if name not in NUMBERS:
        raise Skip("this processor has no " + name)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(NUMBERS[name]), *args)
        os.write(writer, struct.pack("i", ctypes.get_errno() if result < 0 else 0))
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 4)
    os.close(reader)
    os.waitpid(child, 0)
    return struct.unpack("i", said)[0] if len(said) == 4 else 0

def refused(name, *args):
    error = call(name, *args)
    if error in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT,
                 errno.ESOCKTNOSUPPORT):
        raise Skip("this kernel has none: " + errno.errorcode[error])
    return error in (errno.EPERM, errno.EACCES), errno.errorcode.get(error, "allowed")

NEW = dict(user=0x10000000, mount=0x20000, net=0x40000000, pid=0x20000000, ipc=0x8000000, uts=0x4000000)
for kind, flag in NEW.items():
    probe("calls", "unshare_" + kind, gvisor=False)(lambda flag=flag: refused("unshare", flag))

@probe("calls", "clone_new_user", gvisor=False)
def _():
    # With a bad combination of flags, which a kernel refuses after a filter has let it through.
    return refused("clone", 0x10000000 | 0x200 | 0x10000 | 17, 0, 0, 0, 0)

TRIES = dict(
    setns=(-1, 0), mount=(BAD, BAD, BAD, 0, 0), umount2=(BAD, 0), pivot_root=(BAD, BAD), chroot=(BAD,),
    fsopen=(BAD, 0), fsmount=(-1, 0, 0), fsconfig=(-1, 0, 0, 0, 0), fspick=(-1, BAD, 0),
    open_tree=(-1, BAD, 1), move_mount=(-1, BAD, -1, BAD, 0), mount_setattr=(-1, BAD, 0, BAD, 32),
    bpf=(0, BAD, 0), perf_event_open=(BAD, 0, -1, -1, 0), ptrace=(0, 0, 0, 0),
    process_vm_readv=(1 << 22, 0, 0, 0, 0, 0), process_vm_writev=(1 << 22, 0, 0, 0, 0, 0),
    userfaultfd=(1 << 30,), keyctl=(0, -3, 0), add_key=(BAD, BAD, 0, 0, 0),
    request_key=(BAD, BAD, 0, 0), io_uring_setup=(0, BAD), io_uring_enter=(-1, 0, 0, 0, 0, 0),
    io_uring_register=(-1, 0, 0, 0), open_by_handle_at=(-1, BAD, 0),
    name_to_handle_at=(-1, BAD, BAD, BAD, 0), kexec_load=(0, 0, 0, 1 << 30), init_module=(BAD, 1, BAD),
    finit_module=(-1, BAD, 0), delete_module=(BAD, 0), reboot=(0, 0, 0, 0), syslog=(9, 0, 0),
    swapon=(BAD, 0), swapoff=(BAD,), acct=(BAD,), settimeofday=(BAD, 0), clock_settime=(99, BAD),
    sethostname=(BAD, 1), setdomainname=(BAD, 1), quotactl=(1 << 20, BAD, 0, 0),
    personality=(0x0040000,), kcmp=(-1, -1, 0, 0, 0), pidfd_getfd=(-1, 0, 0),
    fanotify_init=(1 << 30, 0), vhangup=(), process_madvise=(-1, 0, 0, 0, 0), move_pages=(0, 1, 0, 0, 0, 0),
    mbind=(0, 0, 99, 0, 0, 0), iopl=(0,), ioperm=(0, 1, 0), modify_ldt=(99, 0, 0),
)
for name, args in TRIES.items():
    probe("calls", name, gvisor=False)(lambda name=name, args=args: refused(name, *args))

FAMILIES = dict(netlink=(16, 3, 0), packet=(17, 3, 0), vsock=(40, 1, 0), alg=(38, 5, 0), key=(15, 3, 2),
                bluetooth=(31, 3, 1), can=(29, 3, 1), tipc=(30, 2, 0), xdp=(44, 3, 0), raw=(2, 3, 1),
                rds=(21, 5, 0), qipcrtr=(42, 2, 0))
for name, args in FAMILIES.items():
    probe("calls", "socket_" + name, gvisor=False)(lambda args=args: refused("socket", *args))

