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

