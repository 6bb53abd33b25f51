# Lists, finds and searches files below the folder for work. Links are never followed.
import json, os, re, stat, sys

call = json.loads(sys.argv[1])
MOST, LONGEST, LARGEST = 1000, 500, 4 << 20

def below(folder, prefix, depth):
    """Each thing below an open folder, by name: its path, its open folder, its name and what it is."""
    for name in sorted(os.listdir(folder)):
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        path = prefix + name
        yield path, folder, name, about
        if stat.S_ISDIR(about.st_mode) and depth > 1:
            try:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            except OSError:
                continue
            try:
                yield from below(inner, path + "/", depth - 1)
            finally:
                os.close(inner)

def matcher(pattern):
    """A pattern in which ** is any folders, * and ? any but /, and [..] one of some."""
    text, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            text, at = text + "(?:.*/)?", at + 3
        elif pattern.startswith("**", at):
            text, at = text + ".*", at + 2
        elif pattern[at] == "*":
            text, at = text + "[^/]*", at + 1
        elif pattern[at] == "?":
            text, at = text + "[^/]", at + 1
        elif pattern[at] == "[" and "]" in pattern[at + 2:]:
            end = pattern.index("]", at + 2)
            inner = pattern[at + 1:end].replace("\\", "\\\\")
            text += "[" + ("^" + inner[1:] if inner[0] == "!" else inner) + "]"
            at = end + 1
        else:
            text, at = text + re.escape(pattern[at]), at + 1
    return re.compile(text + r"\Z", re.S)

def kind(about):
    if stat.S_ISDIR(about.st_mode):
        return "folder"
    if stat.S_ISLNK(about.st_mode):
        return "link"
    return "%d bytes" % about.st_size if stat.S_ISREG(about.st_mode) else "no file"

def walk():
    folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    prefix = ""
    for name in [name for name in call["path"].split("/") if name]:
        folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        prefix += name + "/"
    return below(folder, prefix, call.get("depth") or 64)

def listed():
    for path, _, _, about in walk():
        yield "%s (%s)" % (path, kind(about))

def found():
    fits = matcher(call["pattern"])
    for path, _, _, about in walk():
        if fits.match(path[len(call["path"]) + 1:] if call["path"] else path):
            yield "%s (%s)" % (path, kind(about))

def searched():
    try:
        wanted = re.compile(call["pattern"].encode())
    except re.error as error:
        sys.exit("the pattern is no regular expression: %s" % error)
    fits = matcher(call["among"]) if call.get("among") else None
    for path, folder, name, about in walk():
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            continue
        if fits and not fits.match(path):
            continue
        try:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        except OSError:
            continue
        with os.fdopen(file, "rb") as lines:
            if b"\0" in lines.read(8192):
                continue
            lines.seek(0)
            for number, line in enumerate(lines, 1):
                if wanted.search(line):
                    line = line.rstrip(b"\r\n")[:LONGEST].decode("utf-8", "replace")
                    yield "%s:%d: %s" % (path, number, line)

try:
    count = 0
    for line in {"list": listed, "glob": found, "search": searched}[call["action"]]():
        if count == MOST:
            print("(there are more than %d, which are left out)" % MOST)
            break
        count += 1
        print(line.encode("utf-8", "replace").decode())
    if not count:
        print("nothing")
except FileNotFoundError:
    sys.exit("there is no folder %s" % call["path"])
except OSError as error:
    sys.exit("%s cannot be looked at: %s" % (call["path"], error.strerror))
