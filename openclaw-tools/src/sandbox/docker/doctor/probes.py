# Tries from inside what a box must not allow, and prints a line of JSON for each try. Harmless where it
# succeeds: calls have arguments that no kernel takes, and whatever is filled is bounded and emptied again.
import ctypes, errno, json, os, platform, resource, signal, socket, stat, struct, subprocess, sys, tempfile

about = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
probes = []
MIB = 1 << 20

class Skip(Exception):
    pass

def probe(group, name, quick=True, gvisor=True):
    def keep(run):
        probes.append((group, name, run, quick, gvisor))
        return run
    return keep

def text(path):
    with open(path, errors="replace") as file:
        return file.read()

def status(field):
    for line in text("/proc/self/status").splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1].strip()
    raise Skip("this kernel does not tell " + field)

# -- identity ---------------------------------------------------------------------------------------------

@probe("identity", "user_is_not_root")
def _():
    return 0 not in os.getresuid(), "uids %s" % (os.getresuid(),)

@probe("identity", "group_is_not_root")
def _():
    return 0 not in os.getresgid(), "gids %s" % (os.getresgid(),)

@probe("identity", "no_further_groups")
def _():
    return not set(os.getgroups()) - {os.getgid()}, "groups %s" % os.getgroups()

@probe("identity", "no_new_privileges")
def _():
    return status("NoNewPrivs") == "1", status("NoNewPrivs")

@probe("identity", "system_calls_are_filtered", gvisor=False)
def _():
    return status("Seccomp") == "2", status("Seccomp")

for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    def run(field=field):
        # A weak container of an old engine has no ambient or inheritable ones either: see the whole.
        every = [status(one) for one in ("CapPrm", "CapEff", "CapBnd", field)]
        return int(status(field), 16) == 0 and int("".join(every), 16) == 0, status(field)
    probe("identity", "no_capabilities_" + field[3:].lower())(run)

@probe("identity", "root_cannot_be_become")
def _():
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return True, "refused"
    return os.getuid() != 0, "uid %d" % os.getuid()

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

# -- files ------------------------------------------------------------------------------------------------

def cannot_write(folder):
    path = os.path.join(folder, ".openclaw-probe")
    try:
        with open(path, "w"):
            pass
    except OSError as error:
        return True, errno.errorcode[error.errno]
    os.unlink(path)
    return False, "written"

for folder in ("/", "/bin", "/etc", "/usr/lib", "/var", "/root"):
    name = "no_writing_to_" + (folder.strip("/").replace("/", "_") or "root_folder")
    probe("files", name)(lambda folder=folder: cannot_write(folder))

def mount_of(path):
    for line in reversed(text("/proc/mounts").splitlines()):
        _, where, kind, options = line.split()[:4]
        if where == path:
            return kind, options.split(",")
    return None, []

@probe("files", "root_is_read_only", gvisor=False)
def _():
    return "ro" in mount_of("/")[1], ",".join(mount_of("/")[1])[:60]

for path in ("/tmp", "/work", "/dev/shm"):
    def run(path=path):
        kind, options = mount_of(path)
        wanted = {"nosuid", "nodev"} | ({"noexec"} if path != "/work" else set())
        bounded = any(option.startswith("size=") for option in options) or about["gvisor"]
        missing = wanted - set(options)
        # A weak container's shared memory is the host's, or of the engine's own size.
        size = os.statvfs(path).f_blocks * os.statvfs(path).f_frsize
        return not missing and bounded and size <= about["memory"], "%s %s" % (kind, sorted(missing))
    probe("files", "mount_of_" + path.strip("/").replace("/", "_"), gvisor=False)(run)

@probe("files", "nothing_is_executed_in_tmp")
def _():
    fd, path = tempfile.mkstemp(dir="/tmp")
    os.write(fd, b"#!/bin/sh\nexit 0\n")
    os.close(fd)
    os.chmod(path, 0o700)
    try:
        return subprocess.call([path]) != 0, "executed"
    except PermissionError:
        return True, "EACCES"
    finally:
        os.unlink(path)

@probe("files", "no_engine_socket")
def _():
    there = [path for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")
             if os.path.exists(path)]
    return not there, str(there)

@probe("files", "no_folder_of_the_host")
def _():
    kinds = {"tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay", "none", "9p", "gofer",
             "devtmpfs", "dev"}
    own = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/")
    foreign = [line.split()[1] for line in text("/proc/mounts").splitlines()
               if line.split()[1] not in own and line.split()[2] not in kinds]
    return not foreign, str(foreign[:5])

@probe("files", "no_program_gains_privileges", quick=False)
def _():
    found = []
    for top in ("/bin", "/sbin", "/usr"):
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    mode = os.lstat(os.path.join(folder, name)).st_mode
                except OSError:
                    continue
                if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                    found.append(os.path.join(folder, name))
    # What an image has of them gains nothing where no process can gain anything.
    return status("NoNewPrivs") == "1", str(found[:3])

@probe("files", "no_device_is_made", gvisor=False)
def _():
    path = "/work/.device" if os.path.isdir("/work") and os.access("/work", os.W_OK) else "/tmp/.device"
    try:
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(259, 0))
    except PermissionError:
        return True, "EPERM"
    os.unlink(path)
    return False, "made"

# -- devices ----------------------------------------------------------------------------------------------

USUAL = {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin",
         "stdout", "tty", "urandom", "zero"}

# gVisor has some devices of its own, none of which is the host's.
@probe("devices", "only_the_usual_ones", gvisor=False)
def _():
    more = sorted(set(os.listdir("/dev")) - USUAL)
    return not more, str(more[:6])

@probe("devices", "no_disk")
def _():
    disks = [name for name in os.listdir("/dev") if stat.S_ISBLK(os.lstat("/dev/" + name).st_mode)]
    return not disks, str(disks[:6])

for name in ("mem", "kmsg", "port", "kvm", "fuse", "loop-control", "net/tun"):
    def run(name=name):
        if about.get("weak") and not os.path.exists("/dev/" + name):
            raise Skip("this host has none")
        return not os.path.exists("/dev/" + name), "there"
    own = name in ("fuse", "net/tun")
    probe("devices", "no_" + name.replace("/", "_").replace("-", "_"), gvisor=not own)(run)

# -- what the kernel tells and takes ----------------------------------------------------------------------

def cannot_open(path, flags):
    try:
        os.close(os.open(path, flags))
    except FileNotFoundError:
        if about.get("weak"):
            raise Skip("this kernel has none")
        return True, "ENOENT"
    except OSError as error:
        return True, errno.errorcode[error.errno]
    return False, "opened"

for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/vm/overcommit_memory",
             "/proc/sys/fs/file-max", "/proc/sysrq-trigger", "/proc/sys/net/ipv4/ip_forward"):
    name = "no_writing_" + path[6:].replace("/", "_").replace("-", "_")
    probe("kernel", name)(lambda path=path: cannot_open(path, os.O_WRONLY))

def masked(path):
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            entries = len(os.listdir(path))
            if about.get("weak") and not entries:
                raise Skip("this kernel has nothing there")
            return not entries, "%d entries" % entries
        with open(path, "rb") as file:
            return not file.read(1), "read"
    except FileNotFoundError:
        if about.get("weak"):
            raise Skip("this kernel has none")
        return True, "ENOENT"
    except OSError as error:
        return True, errno.errorcode[error.errno]

for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/proc/acpi",
             "/sys/firmware"):
    probe("kernel", "masked_" + path.strip("/").replace("/", "_"))(lambda path=path: masked(path))

@probe("kernel", "no_writing_to_sys")
def _():
    return cannot_open("/sys/kernel/profiling" if os.path.exists("/sys/kernel/profiling")
                       else "/sys/kernel/uevent_helper", os.O_WRONLY)

@probe("kernel", "first_process_is_closed")
def _():
    return cannot_open("/proc/1/mem", os.O_RDWR)

# gVisor lets it be read; it holds the path alone.
@probe("kernel", "first_process_keeps_its_environment", gvisor=False)
def _():
    return cannot_open("/proc/1/environ", os.O_RDONLY)

# -- namespaces -------------------------------------------------------------------------------------------

@probe("namespaces", "processes_are_its_own")
def _():
    first = text("/proc/1/cmdline").replace("\0", " ")
    return "The first process of a box" in first, first[:60]

@probe("namespaces", "few_processes")
def _():
    seen = [name for name in os.listdir("/proc") if name.isdigit()]
    return len(seen) <= 16, "%d processes" % len(seen)

@probe("namespaces", "host_name_is_its_own")
def _():
    return socket.gethostname() == "box", socket.gethostname()

@probe("namespaces", "control_group_is_its_own", gvisor=False)
def _():
    paths = {line.rsplit(":", 1)[1] for line in text("/proc/self/cgroup").splitlines()}
    # Of a group that nobody limits, the path is the root too: what counts is that there are limits.
    return paths <= {"/"} and bounded("memory") is not None, str(sorted(paths)[:3])

def bounded(what):
    names = dict(
        memory=("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        pids=("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
        cpu=("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
    )[what]
    for name in names:
        if os.path.exists(name):
            said = text(name).split()[0]
            return None if said in ("max", "-1") or int(said) > 1 << 60 else int(said)
    raise Skip("no control group is to be seen")

@probe("limits", "memory_is_limited", gvisor=False)
def _():
    return bounded("memory") is not None and bounded("memory") <= about["memory"], str(bounded("memory"))

@probe("limits", "processes_are_limited", gvisor=False)
def _():
    return bounded("pids") is not None and bounded("pids") <= about["pids"] + 1, str(bounded("pids"))

@probe("limits", "processors_are_limited", gvisor=False)
def _():
    return bounded("cpu") is not None, str(bounded("cpu"))

@probe("limits", "open_files_are_limited")
def _():
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 0 < most <= 4096, str(most)

@probe("limits", "no_core_dumps")
def _():
    return resource.getrlimit(resource.RLIMIT_CORE)[1] == 0, str(resource.getrlimit(resource.RLIMIT_CORE)[1])

@probe("limits", "control_groups_are_not_written", gvisor=False)
def _():
    places = [folder for folder in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if os.path.isdir(folder)]
    if not places:
        raise Skip("no control group is to be seen")
    try:
        os.mkdir(places[0] + "/openclaw-probe")
    except OSError as error:
        return True, errno.errorcode[error.errno]
    os.rmdir(places[0] + "/openclaw-probe")
    return False, "made"

# -- network ----------------------------------------------------------------------------------------------

@probe("network", "no_interface_but_loopback")
def _():
    names = [line.split(":")[0].strip() for line in text("/proc/net/dev").splitlines()[2:]]
    more = [name for name in names if name not in ("lo", "tunl0", "sit0", "ip6tnl0")]
    return not more, str(more)

@probe("network", "no_route")
def _():
    return len(text("/proc/net/route").splitlines()) <= 1, "%d" % len(text("/proc/net/route").splitlines())

def unreachable(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as it:
        try:
            # No packet leaves: this only asks for a route.
            it.connect(address)
        except OSError as error:
            return True, errno.errorcode.get(error.errno, str(error))
    return False, "there is a route"

for name, address in dict(
    the_internet=("1.1.1.1", 53), metadata_of_clouds=("169.254.169.254", 80), bridge_of_engine=("172.17.0.1", 2375),
    desktop_engine=("192.168.65.7", 2375), private_10=("10.0.0.1", 80), private_192=("192.168.0.1", 80),
).items():
    probe("network", "no_way_to_" + name)(lambda address=address: unreachable(socket.AF_INET, address))

@probe("network", "no_way_by_ipv6")
def _():
    seen = unreachable(socket.AF_INET6, ("2606:4700:4700::1111", 53))
    if about.get("weak") and seen[0]:
        raise Skip("this host has no IPv6")
    return seen

@probe("network", "no_names")
def _():
    servers = [line for line in text("/etc/resolv.conf").splitlines() if line.startswith("nameserver")]
    reached = [line for line in servers if not unreachable(socket.AF_INET, (line.split()[1], 53))[0]
               and not line.split()[1].startswith("127.")] if all(":" not in line for line in servers) else []
    if about.get("weak") and not reached:
        raise Skip("this host has no server for names beyond itself")
    return not reached, str(reached)

@probe("network", "nobody_listens_here")
def _():
    if not os.path.exists("/proc/net/tcp"):
        raise Skip("not told")
    listening = [line for line in text("/proc/net/tcp").splitlines()[1:] if line.split()[3] == "0A"]
    if about.get("weak") and not listening:
        raise Skip("nobody listens on this host")
    return not listening, "%d" % len(listening)

@probe("network", "no_abstract_sockets_of_others", gvisor=False)
def _():
    names = [line.split()[-1] for line in text("/proc/net/unix").splitlines()[1:] if "@" in line]
    if about.get("weak") and not names:
        raise Skip("this host has none")
    return not names, str(names[:3])

# -- environment and secrets ------------------------------------------------------------------------------

@probe("environment", "only_what_was_said")
def _():
    more = sorted(set(os.environ) - set(about["environment"]) - {"LC_CTYPE"})
    return not more, str(more)

@probe("environment", "no_secret_of_the_host")
def _():
    if not os.environ.get("OPENCLAW_PROBE_SECRET"):
        held = True
    else:
        held = False
    return held, "a secret is there"

@probe("environment", "path_is_fixed")
def _():
    folders = os.environ.get("PATH", "").split(":")
    writable = [folder for folder in folders if os.access(folder, os.W_OK)]
    return not writable, str(writable)

@probe("environment", "no_open_files_of_others")
def _():
    more = []
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink("/proc/self/fd/" + name)
        except OSError:
            continue
        if int(name) > 2 and "/proc/" not in target:
            more.append(target)
    if about.get("weak") and not more:
        raise Skip("no engine leaks one")
    return not more, str(more)

# -- bombs ------------------------------------------------------------------------------------------------

def in_child(run):
    """What a child process says, and how it ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            os.write(writer, run().encode())
        except BaseException as error:
            os.write(writer, type(error).__name__.encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 100).decode()
    os.close(reader)
    return said, os.waitpid(child, 0)[1]

@probe("bombs", "memory", quick=False, gvisor=False)
def _():
    def fill():
        taken = []
        for _ in range(about["memory"] // (4 * MIB) + 16):
            taken.append(b"x" * (4 * MIB))
        return "filled"
    said, how = in_child(fill)
    return said != "filled", "%s, ended with %d" % (said, how)

@probe("bombs", "processes", quick=False, gvisor=False)
def _():
    children, wanted = [], about["pids"] + 64
    try:
        for _ in range(wanted):
            child = os.fork()
            if not child:
                signal.pause()
            children.append(child)
    except OSError:
        pass
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return len(children) < wanted, "%d" % len(children)

def filled(folder, most):
    path = os.path.join(folder, ".bomb")
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < most:
                written += file.write(b"\0" * MIB)
    except OSError as error:
        return True, errno.errorcode[error.errno]
    finally:
        os.unlink(path)
    return False, "%d bytes" % written

@probe("bombs", "disk", quick=False)
def _():
    return filled("/work" if os.path.isdir("/work") else "/", about["disk"] + 8 * MIB)

@probe("bombs", "disk_of_tmp", quick=False)
def _():
    return filled("/tmp", about["tmp"] + 8 * MIB)

@probe("bombs", "files", quick=False, gvisor=False)
def _():
    folder = tempfile.mkdtemp(dir="/work" if os.path.isdir("/work") else "/")
    count, wanted = 0, about["inodes"] + 1024
    try:
        while count < wanted:
            os.close(os.open("%s/%d" % (folder, count), os.O_CREAT | os.O_WRONLY))
            count += 1
    except OSError:
        pass
    for name in os.listdir(folder):
        os.unlink(folder + "/" + name)
    os.rmdir(folder)
    return count < wanted, "%d" % count

@probe("bombs", "open_files", quick=False)
def _():
    def open_all():
        try:
            for _ in range(6000):
                os.open("/dev/null", os.O_RDONLY)
        except OSError as error:
            return errno.errorcode[error.errno]
        return "opened"
    resource_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource_limit[1], resource_limit[1]))
    said, _ = in_child(open_all)
    return said == "EMFILE", said

def said(group, name, run):
    line = dict(group=group, probe=name)
    try:
        held, seen = run()
        return dict(line, held=bool(held), seen=seen)
    except Skip as skip:
        return dict(line, skipped=str(skip))
    except Exception as error:
        return dict(line, held=False, seen="%s: %s" % (type(error).__name__, error))

for group, name, run, quick, gvisor in probes:
    # Under gVisor a kernel of its own answers these, and what it allows reaches no host.
    if (about["quick"] and not quick) or (about["gvisor"] and not gvisor):
        continue
    print(json.dumps(said(group, name, run)), flush=True)
