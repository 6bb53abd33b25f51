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

