# Puts a tool's own files where nothing else is, and becomes its program. The first line of the input says
# which; the rest is the program's.
import base64, json, os, shutil, sys

line = b""
while not line.endswith(b"\n"):
    one = os.read(0, 1)
    if not one:
        sys.exit("the input ended too soon")
    line += one
start = json.loads(line)
shutil.rmtree("/work/.tools", ignore_errors=True)
home = "/work/.tools/" + start["key"]
for path, text in start["files"].items():
    path = os.path.join(home, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    file = os.open(path, flags, 0o700)
    with os.fdopen(file, "wb") as out:
        out.write(base64.b64decode(text))
argv = [word.replace("{tool}", home) for word in start["argv"]]
try:
    os.execvp(argv[0], argv)
except OSError as error:
    sys.exit("the tool cannot be started: %s" % error.strerror)
