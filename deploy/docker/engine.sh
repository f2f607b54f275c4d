#!/usr/bin/env bash
# Runs a command with a Docker engine of its own, where no engine runs and no image can be
# pulled: engine.sh COMMAND [ARGUMENT…]
#
# The engine lives in its own network, process and mount namespaces, so all of it ends with this
# script, and the host's network stays as it is. It holds stand-ins under the names of the two
# base images, made of this machine's Go toolchain and module cache and of busybox. What they
# prove: the Dockerfile, docker-compose.yml and the programs. What not: the public images.
#
# Needs root, dockerd, iptables, ip, unshare and a static busybox. (Debian: docker.io iptables
# iproute2 busybox-static.) The Go module cache must hold what the services import: build first.
set -euo pipefail
cd "$(dirname "$0")/../.."

BUILD_IMAGE=${BUILD_IMAGE:-golang:1.26-alpine}
NATS_IMAGE=${NATS_IMAGE:-nats:2.15-alpine}

say() { echo "engine: $*" >&2; }
fail() { say "$*"; exit 1; }

# The stand-ins as tar files, made outside the namespaces, where Go may still download.
prepare() {
    local busybox root goroot modules
    busybox=$(command -v busybox) || fail "busybox is missing"
    root=$dir/root
    mkdir -p "$root"/{bin,tmp,root,etc/ssl/certs,usr/local/bin}
    chmod 1777 "$root/tmp"
    cp "$busybox" "$root/bin/busybox"
    for applet in $("$busybox" --list); do
        [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
    done
    chroot "$root" /bin/true || fail "busybox must be static"

    CGO_ENABLED=0 GOWORK=off go build -C deploy/tools -trimpath -ldflags "-s -w" \
        -o "$root/usr/local/bin/nats-server" github.com/nats-io/nats-server/v2
    tar -C "$root" -cf "$dir/nats.tar" .
    rm "$root/usr/local/bin/nats-server"

    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    goroot=$(go env GOROOT)
    modules=$(go env GOMODCACHE)/cache
    tar --transform 's,^\(bin\|lib\|pkg\|src\|go.env\|VERSION\)\(/\|$\),usr/local/go/\1\2,r' --transform 's,^download/,modules/,r' \
        -cf "$dir/build.tar" -C "$root" . -C "$goroot" bin lib pkg src go.env VERSION \
        -C "$modules" --exclude=download/sumdb download
    rm -r "$root"
}

# Of several clients, the one that can use BuildKit.
choose_client() {
    local client
    for client in $(type -ap docker); do
        if DOCKER_BUILDKIT=1 "$client" build --help 2>/dev/null | grep -q -- --secret; then
            PATH=$(dirname "$client"):$PATH
            return
        fi
    done
    fail "no docker client here can build with BuildKit"
}

start() {
    local driver
    export DOCKER_HOST=unix://$dir/docker.sock
    for driver in overlay2 vfs; do
        dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" \
            --host "$DOCKER_HOST" --storage-driver "$driver" >"$dir/log" 2>&1 &
        engine=$!
        for _ in $(seq 150); do
            if docker version >/dev/null 2>&1; then
                say "dockerd $(docker version --format '{{.Server.Version}}') with $driver"
                return
            fi
            kill -0 "$engine" 2>/dev/null || break
            sleep 0.2
        done
        kill "$engine" 2>/dev/null || true
        wait "$engine" || true
    done
    tail -n 20 "$dir/log" >&2
    fail "dockerd did not start"
}

stop() {
    [ -z "${engine:-}" ] || { kill "$engine" && wait "$engine"; } 2>/dev/null || true
}

if [ -z "${BREAKER_ENGINE_DIR:-}" ]; then
    [ "$(id -u)" = 0 ] || fail "only root can start an engine"
    for tool in dockerd iptables ip unshare go; do
        command -v "$tool" >/dev/null || fail "$tool is missing"
    done
    dir=$(mktemp -d)
    trap 'rm -rf "$dir"' EXIT
    say "making stand-ins for $BUILD_IMAGE and $NATS_IMAGE"
    prepare
    BREAKER_ENGINE_DIR=$dir unshare --net --mount --pid --fork --mount-proc --kill-child \
        "$(pwd)/deploy/docker/engine.sh" "$@"
    exit
fi

dir=$BREAKER_ENGINE_DIR
unset BREAKER_ENGINE_DIR # programs refuse BREAKER_ names that they do not know
trap stop EXIT
ip link set lo up
choose_client
export DOCKER_BUILDKIT=1 COMPOSE_DOCKER_CLI_BUILD=1
start
docker import --change 'ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOPROXY=file:///modules GOSUMDB=off' \
    "$dir/build.tar" "$BUILD_IMAGE" >/dev/null
docker import --change 'ENV PATH=/usr/local/bin:/bin' --change 'ENTRYPOINT ["nats-server"]' \
    "$dir/nats.tar" "$NATS_IMAGE" >/dev/null
rm "$dir/build.tar" "$dir/nats.tar"
"$@"
