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

