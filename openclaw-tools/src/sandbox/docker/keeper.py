# The first process of a box. It holds the box open for as long as its standard input is open, which the
# process that made the box keeps: when that dies, so does the box, with all that runs in it. Nothing in
# the box can signal the first process, and it lets nothing read or change its memory. It also takes
# orphans, and ends the box at its greatest age.
import ctypes, os, signal, sys

def take_orphans(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass

PR_SET_DUMPABLE = 4
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
signal.signal(signal.SIGCHLD, take_orphans)
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
signal.alarm(int(sys.argv[1]))
while os.read(0, 4096):
    pass
