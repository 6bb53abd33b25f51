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

