# Reads and writes a file below the folder for work. Each name of a path is opened by itself, below the
# folder that was opened before it, and never through a link; links are followed here, and only inside. So
# nothing that other processes of the box do in the meantime can lead out.
import errno, os, stat, sys

DENIED, NOT_FOUND, TOO_LONG, FULL, CUT = 10, 11, 12, 13, 14

class Refused(Exception):
    pass

def refuse(code, text):
    error = Refused(text)
    error.code = code
    raise error

def walk(root, path, make):
    """Opens the folder of a path, and gives it with the last name, which is no link at that moment."""
    folders, names, links = [os.open(root, os.O_RDONLY | os.O_DIRECTORY)], path.split("/"), 0
    while True:
        name = names.pop(0)
        here = folders[-1]
        if name in ("", "."):
            if not names:
                refuse(NOT_FOUND, "it names a folder")
            continue
        if name == "..":
            if len(folders) == 1:
                refuse(DENIED, "a link leads out")
            os.close(folders.pop())
            if not names:
                refuse(NOT_FOUND, "it names a folder")
            continue
        try:
            target = os.readlink(name, dir_fd=here)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
        else:
            links += 1
            if target.startswith("/") or links > 40:
                refuse(DENIED, "a link leads out")
            names = target.split("/") + names
            continue
        if not names:
            return here, name
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        try:
            folders.append(os.open(name, flags, dir_fd=here))
        except FileNotFoundError:
            if not make:
                raise
            try:
                os.mkdir(name, 0o755, dir_fd=here)
            except FileExistsError:
                pass
            folders.append(os.open(name, flags, dir_fd=here))

def read(path, most):
    folder, name = walk(".", path, False)
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    about = os.fstat(file)
    if not stat.S_ISREG(about.st_mode):
        refuse(NOT_FOUND, "it is no regular file")
    if about.st_size > most:
        refuse(TOO_LONG, "it has %d bytes" % about.st_size)
    left = most + 1
    while left > 0:
        some = os.read(file, min(left, 1 << 20))
        if not some:
            return
        left -= len(some)
        while some:
            some = some[os.write(1, some):]
    refuse(TOO_LONG, "it grows")

def write(path, length):
    folder, name = walk(".", path, True)
    try:
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            refuse(DENIED, "it is a folder")
    except FileNotFoundError:
        pass
    new = ".%s.new" % os.urandom(8).hex()
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
    try:
        left = length
        while left > 0:
            some = os.read(0, min(left, 1 << 20))
            if not some:
                refuse(CUT, "it ended too soon")
            left -= len(some)
            while some:
                some = some[os.write(file, some):]
        os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.unlink(new, dir_fd=folder)
        raise

try:
    {"read": read, "write": write}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
except Refused as refused:
    code, text = refused.code, str(refused)
except OSError as error:
    text = error.strerror or "error %s" % error.errno
    code = {
        errno.ENOENT: NOT_FOUND, errno.ENOTDIR: NOT_FOUND, errno.ENXIO: NOT_FOUND, errno.ELOOP: DENIED,
        errno.EACCES: DENIED, errno.EPERM: DENIED, errno.EISDIR: NOT_FOUND,
        errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL,
    }.get(error.errno, 1)
else:
    sys.exit(0)
os.write(2, text.encode()[:200])
os._exit(code)
