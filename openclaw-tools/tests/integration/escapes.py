# Paths and archives that want to lead out of the folder for work. Makes them in the box, follows each with the
# sandbox's own program for files, and prints what came of it as a line of JSON.
#
#   escapes.py PROGRAM OUTSIDE HOST
#
# PROGRAM is the text of the sandbox's program, OUTSIDE an empty folder of the box beside the folder for work, HOST
# a folder of the host that has a file `secret` with the word `outer` in it.
import io, json, os, shutil, stat, subprocess, sys, tarfile, warnings, zipfile

warnings.simplefilter("ignore")
source, OUTSIDE, HOST = sys.argv[1:4]
PROGRAM = compile(source, "program", "exec")
ROOT = os.getcwd()
seen = dict(paths=0, archives=0, unpacked=0, followed=0, refused=0, missing=0, inner=0, escapes=[])

def program(what, path, number, given=b""):
    """How the program ends for a path, and what it says."""
    mouth, said = os.pipe()
    heard, given_to = os.pipe()
    os.write(given_to, given)
    os.close(given_to)
    child = os.fork()
    if not child:
        os.dup2(heard, 0)
        os.dup2(said, 1)
        os.dup2(os.open("/dev/null", os.O_WRONLY), 2)
        os.closerange(3, 64)
        sys.argv = ["-c", what, path, str(number)]
        try:
            exec(PROGRAM, {})
        except SystemExit as end:
            os._exit(end.code or 0)
        except BaseException:
            os._exit(1)
        os._exit(0)
    os.close(said)
    os.close(heard)
    text = b""
    while True:
        more = os.read(mouth, 4096)
        if not more:
            break
        text += more
    os.close(mouth)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text

def outside():
    """All that stands outside, where the box may look."""
    found = {}
    for top in (OUTSIDE, HOST):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                about = os.lstat(path)
                text = open(path, "rb").read() if stat.S_ISREG(about.st_mode) else b""
                found[path] = (text, about.st_mode)
    return found

def follow(path):
    """Reads and writes by a path, and takes note of all that came from outside or went there."""
    before = outside()
    seen["followed"] += 1
    code, text = program("read", path, 1 << 20)
    if b"outer" in text or b"root:" in text:
        seen["escapes"].append("read " + path)
    seen["inner"] += text == b"inner"
    seen["refused"] += code == 10
    seen["missing"] += code == 11
    if code not in (0, 10, 11, 12, 13):
        seen["escapes"].append("read %s ended with %d" % (path, code))
    code, _ = program("write", path, 5, b"inner")
    if code not in (0, 10, 11, 13):
        seen["escapes"].append("write %s ended with %d" % (path, code))
    if outside() != before:
        seen["escapes"].append("write " + path)

def tidy():
    """What a careless program unpacked outside is gone, and what stands there can be told."""
    for name in os.listdir(OUTSIDE):
        if name not in ("secret", "evil"):
            shutil.rmtree(os.path.join(OUTSIDE, name), ignore_errors=True)
    for name in ("secret", "evil"):
        with open(os.path.join(OUTSIDE, name), "w") as file:
            file.write("outer")

def empty():
    tidy()
    for name in os.listdir(ROOT):
        path = os.path.join(ROOT, name)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            for folder, folders, _ in os.walk(path):
                for one in folders:
                    if not os.path.islink(os.path.join(folder, one)):
                        os.chmod(os.path.join(folder, one), 0o700)
            shutil.rmtree(path)
        else:
            os.unlink(path)

# -- links ------------------------------------------------------------------------------------------------

TARGETS = [
    OUTSIDE, HOST, "/", "/tmp", "/etc", "/dev", "/dev/shm", "/proc", "/proc/self/root", "/proc/1/root",
    "/proc/self/root" + OUTSIDE, "/proc/1/root" + HOST, "/proc/self/cwd/..", "/proc/self/fd", "/dev/fd", "/work",
    "//" + OUTSIDE, ROOT, ROOT + "/../" + os.path.relpath(OUTSIDE, ROOT), "..", "../..", "../../..",
    os.path.relpath(OUTSIDE, ROOT), "in/../" + os.path.relpath(OUTSIDE, ROOT), "./.././" + os.path.relpath(OUTSIDE, ROOT),
    "in/deep/../../../" + os.path.relpath(OUTSIDE, ROOT), "../" + os.path.basename(ROOT), "x" * 200, "in/none",
]
# Where a link L to the target stands, and a path by it; S is the file that is looked for.
FORMS = [
    ("L", "L"), ("L", "L/S"), ("L", "L/etc/passwd"), ("L", "chain/S"), ("L", "self/self/L/S"), ("in/L", "in/L/S"),
    ("in/L", "inside/L/S"), ("in/deep/L", "in/deep/L/S"), ("in/deep/L", "in/up/deep/L/S"), ("L", "in/up/L/S"),
    ("L", "L/new/folder/S"), ("L", "L/self/environ"),
]

def links():
    for target in TARGETS:
        for place, path in FORMS:
            os.makedirs("in/deep")
            with open("in/secret", "w") as file:
                file.write("inner")
            os.symlink(".", "self")
            os.symlink("in", "inside")
            os.symlink("../", "in/up")
            os.symlink("L", "chain")
            os.symlink(target, place)
            seen["paths"] += 1
            follow(path.replace("S", "secret"))
            empty()
    # What leads inside again is followed.
    os.makedirs("in/deep")
    with open("in/secret", "w") as file:
        file.write("inner")
    os.symlink("deep/../secret", "in/L")
    os.symlink("in/deep/../L", "M")
    for path in ("in/L", "M", "in/deep/new"):
        seen["paths"] += 1
        follow(path)
    # A hard link leads to no file of another file system.
    for target in (OUTSIDE + "/secret", "/etc/passwd"):
        seen["paths"] += 1
        try:
            os.link(target, "hard")
        except OSError:
            continue
        follow("hard")
    empty()

# -- archives ---------------------------------------------------------------------------------------------

NAMES = [
    "../evil", "../../evil", "a/../../evil", "./../evil", "/evil", OUTSIDE + "/evil", "/" + OUTSIDE + "/evil",
    "." + OUTSIDE + "/evil", os.path.relpath(OUTSIDE, ROOT) + "/evil", OUTSIDE + "/secret", HOST + "/evil",
    HOST + "/secret", "/proc/self/root" + OUTSIDE + "/evil", "/etc/passwd", "/dev/shm/evil", "..", ".", "a/..",
    "..\\evil", "C:\\evil", "\\\\host\\evil", "a\nb/../../evil", "x" * 250, "/".join(["d"] * 200) + "/evil", "~/evil",
    "-rf", "$(touch " + OUTSIDE + "/evil)", "a//b//../../../evil", "..%2fevil", "．．/evil",
]

def member(name, kind=tarfile.REGTYPE, link="", mode=0o644, size=0, **more):
    it = tarfile.TarInfo(name)
    it.type, it.linkname, it.mode, it.size = kind, link, mode, size
    for key, value in more.items():
        setattr(it, key, value)
    return it

def tars():
    """Lists of members of an archive; each that is a regular file holds the text `archived`."""
    for name in NAMES:
        yield [member(name, size=8)]
    for target in TARGETS:
        # A link, and then a file by it, and a link to that.
        yield [member("L", tarfile.SYMTYPE, target), member("L/evil", size=8), member("L/secret", size=8)]
        yield [member("L", tarfile.SYMTYPE, target), member("H", tarfile.LNKTYPE, "L/secret"), member("H", size=8)]
    for target in (OUTSIDE + "/secret", HOST + "/secret", "/etc/passwd", "../../etc/passwd", "/proc/1/environ"):
        yield [member("secret", tarfile.SYMTYPE, target), member("secret", size=8)]
        yield [member("H", tarfile.LNKTYPE, target), member("H", size=8)]
        yield [member("a/L", tarfile.SYMTYPE, ".."), member("a/L/L", tarfile.SYMTYPE, ".."),
               member("a/L/L" + target, size=8), member("deep", tarfile.SYMTYPE, "a/L/L" + target)]
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        yield [member("device", kind, mode=0o666, devmajor=1, devminor=1), member("device", size=8)]
    yield [member("pipe", tarfile.FIFOTYPE)]
    yield [member("s", mode=0o6777, size=8), member("f", tarfile.DIRTYPE, mode=0o7000), member("f/evil", size=8)]
    yield [member("twice", size=8), member("twice", tarfile.SYMTYPE, OUTSIDE), member("twice/evil", size=8)]
    yield [member("fine", size=8, pax_headers={"path": OUTSIDE + "/evil"})]
    yield [member("fine", tarfile.SYMTYPE, "in", pax_headers={"linkpath": OUTSIDE}), member("fine/evil", size=8)]

def tar(members):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(b"archived"))
    return made.getvalue()

def zips():
    for name in NAMES:
        yield [(name, 0o100644, b"archived")]
    for target in TARGETS:
        yield [("L", 0o120777, target.encode()), ("L/evil", 0o100644, b"archived"), ("L/secret", 0o100644, b"archived")]
        yield [("secret", 0o120777, (target + "/secret").encode()), ("secret", 0o100644, b"archived")]
    yield [("s", 0o106777, b"archived"), ("device", 0o020666, b""), ("block", 0o060666, b""), ("pipe", 0o010666, b"")]

def zipped(members, compression=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, mode, text in members:
            one = zipfile.ZipInfo(name)
            one.create_system, one.external_attr, one.compress_type = 3, mode << 16, compression
            archive.writestr(one, text)
    return made.getvalue()

def by_python(path):
    opened = tarfile.open(path) if path.endswith(".tar") else zipfile.ZipFile(path)
    with opened as archive:
        archive.extractall()

def quietly(*argv):
    subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

TAR = [lambda path: quietly("tar", "--overwrite", "-xf", path), by_python]
ZIP = [lambda path: quietly("unzip", "-oq", path), by_python]

def unpacked(name, text, ways):
    """Unpacks an archive in each way, and follows all that it holds."""
    seen["archives"] += 1
    for way in ways:
        with open(name, "wb") as file:
            file.write(text)
        try:
            way(name)
        except Exception:
            pass  # A careful program takes none of these.
        seen["unpacked"] += 1
        tidy()
        for folder, _, names in list(os.walk(".")):
            for one in names[:4]:
                follow(os.path.normpath(os.path.join(folder, one)))
        for one in ("L/secret", "L/evil", "H", "secret", "evil", "twice/evil", "fine/evil"):
            if os.path.lexists(one.split("/")[0]):
                follow(one)
        empty()

def archives():
    for members in tars():
        unpacked("a.tar", tar(members), TAR)
    for members in zips():
        unpacked("a.zip", zipped(members), ZIP)

def bombs():
    """What grows a thousand times, what has ten thousand files, what is said to be huge, what never ends."""
    blown = zipped([("big", 0o100644, bytes(160 << 20))], zipfile.ZIP_DEFLATED)
    many = zipped([("%d/f" % n, 0o100644, b"") for n in range(8000)])
    huge = member("huge", size=8).tobuf()
    huge = bytearray(huge)
    huge[124:136] = b"\x80\0\0\0\0\0\x01\0\0\0\0\0"  # 1 TiB
    total = sum(huge[:148]) + sum(huge[156:512]) + 8 * 32
    huge[148:156] = b"%06o\0 " % total
    for name, text, ways in (("a.zip", blown, ZIP[:1]), ("a.zip", many, ZIP[:1]), ("a.tar", bytes(huge) + b"x" * 512, TAR[:1])):
        seen["archives"] += 1
        with open(name, "wb") as file:
            file.write(text)
        ways[0](name)
        held = os.statvfs(".")
        if held.f_blocks * held.f_frsize > 64 << 20:
            seen["escapes"].append("the folder for work holds more than it may")
        empty()

empty()
links()
archives()
if os.statvfs(".").f_blocks * os.statvfs(".").f_frsize <= 64 << 20:
    bombs()
print(json.dumps(seen))
