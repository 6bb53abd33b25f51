# shellcheck shell=bash
# A Docker engine of our own to test against: source it after lib.sh, do not run it.
#
# It has its own socket, data and network-free configuration, so that a machine's engine is neither needed
# nor touched. Starting one needs root and the kernel's control groups.

engine_folder=$(realpath -m "$cache/engine") # runc takes no folder behind a link
engine_pid=''

install_engine() {
    apt_install 'command -v dockerd && command -v runc' docker.io
    apt_install 'command -v docker' docker.io
    apt_install 'command -v runsc' runsc
    apt_install 'command -v mmdebstrap' mmdebstrap
    apt_install 'python3 -m pip --version' python3-pip
}

# start_engine: starts the engine, and names its socket in `engine_socket`.
start_engine() {
    local run n
    mkdir -p "$engine_folder"
    # One engine at a time on one folder; held until this shell ends.
    exec 8>"$cache/engine.lock"
    flock 8
    run=$(mktemp -d /tmp/openclaw-engine.XXXXXX) # a socket's path must be short
    engine_socket=$run/docker.sock
    cat >"$run/daemon.json" <<EOF
{
    "runtimes": {"runsc": {
        "path": "$(command -v runsc)",
        "runtimeArgs": ["--platform=ptrace", "--network=none"]
    }}
}
EOF
    dockerd --config-file "$run/daemon.json" --host "unix://$engine_socket" --pidfile "$run/pid" \
        --data-root "$engine_folder/data" --exec-root "$run/exec" --bridge none --iptables=false \
        >"$engine_folder/log" 2>&1 8>&- 9>&- &
    engine_pid=$!
    for ((n = 0; n < 300; n++)); do
        if DOCKER_HOST=unix://$engine_socket docker info >/dev/null 2>&1; then return; fi
        kill -0 "$engine_pid" 2>/dev/null || break
        sleep 0.2
    done
    tail -n 20 "$engine_folder/log" >&2
    die "no Docker engine could be started here, and the sandbox cannot be tested without one." \
        "It needs root and control groups; the end of its log is above"
}

stop_engine() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    umount "${engine_socket%/*}"/exec/netns/* 2>/dev/null || true
    rm -rf "${engine_socket%/*}"
}

# box_image: prints the id of the image that boxes run in, which is built once for each state of its recipe.
box_image() {
    local stamp file=$engine_folder/image id
    stamp=$(cat "$root"/openclaw-tools/image/* | sha256sum | cut -d' ' -f1)
    id=$(sed -n "s/^$stamp //p" "$file" 2>/dev/null || true)
    export DOCKER_HOST=unix://$engine_socket
    if [ -z "$id" ] || ! docker image inspect "$id" >/dev/null 2>&1; then
        say "image: building what boxes run in"
        id=$("$root/openclaw-tools/image/build")
        printf '%s %s\n' "$stamp" "$id" >"$file"
    fi
    printf '%s\n' "$id"
}
