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

