#!/usr/bin/env bash
# Proves docker-compose.yml on a real engine, in minutes and within bounds: builds the images,
# starts the fleet with two copies of token, takes an order from end to end through the published
# port, kills a copy, replaces all containers and finds the order again, and takes all down.
# Uses the engine that runs; where none does, one of its own (engine.sh). Needs go and jq.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "try: $*"; }
fail() { say "FAILED: $*" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
CGO_ENABLED=0 go build -trimpath -o "$work/breaker" ./services/breaker/cmd/breaker

if ! docker info >/dev/null 2>&1; then
    [ -z "${TRY_HAS_ENGINE:-}" ] || fail "the engine does not answer"
    # The compile fills the module cache, from which the engine's stand-ins are made.
    TRY_HAS_ENGINE=1 deploy/docker/engine.sh "$(pwd)/deploy/docker/try.sh"
    exit
fi

if docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
else
    fail "neither docker compose nor docker-compose is here"
fi
# A project and a port of its own, beside whatever runs already.
compose+=(--project-name "breaker-try-$$")
export NATS_PORT=0

down() {
    local status=$?
    if [ "$status" != 0 ]; then
        "${compose[@]}" ps || true
        "${compose[@]}" logs --tail 40 || true
    fi
    "${compose[@]}" down --volumes --timeout 60 >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$status"
}
trap down EXIT

# await SECONDS WHAT COMMAND…: repeats the command until it succeeds.
await() {
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || fail "waited in vain for $what"
        sleep 0.5
    done
}

copies() { "${compose[@]}" ps -q "$@"; }

healthy() {
    local id count=0
    for id in $(copies); do
        [ "$(docker inspect -f '{{.State.Health.Status}}' "$id")" = healthy ] || return 1
        count=$((count + 1))
    done
    [ "$count" = "$1" ]
}

up() {
    timeout 300 "${compose[@]}" up -d --scale token=2
    await 90 "five healthy containers" healthy 5
    server=nats://$("${compose[@]}" port nats 4222)
}

breaker() { timeout 30 "$work/breaker" --server "$server" --json "$@"; }

# is WHAT WANT HAVE
is() { [ "$3" = "$2" ] || fail "$1: want $2, have $3"; }

say "building with $(docker version --format 'engine {{.Server.Version}}'), ${compose[*]}"
timeout 900 "${compose[@]}" build
for service in token rules transition function-runner; do
    image=circuit-breaker/$service
    is "user of $image" 65532:65532 "$(docker image inspect -f '{{.Config.User}}' "$image")"
    say "$image has $(($(docker image inspect -f '{{.Size}}' "$image") / 1000000)) MB"
done

up
say "up at $server"
for id in $(copies); do
    is "confinement of $(docker inspect -f '{{.Name}}' "$id")" "true [ALL] [no-new-privileges:true] false" \
        "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Privileged}}' "$id")"
    for address in $(docker inspect -f '{{range .NetworkSettings.Ports}}{{range .}}{{.HostIp}} {{end}}{{end}}' "$id"); do
        is "published address" 127.0.0.1 "$address"
    done
done

say "deploying the example of an order, and the rule that guards it"
breaker rules put deploy/examples/rules/parcel_is_labelled.yaml | jq -e '.rules[0].outcome == "created"' >/dev/null
breaker deploy deploy/examples/order/workflow.yaml | jq -e '.workflows[0].outcome == "created"' >/dev/null
order=$(jq -c .data deploy/examples/order/samples/simple.json | breaker token create order --data - --by try | jq -r .instance_id)

where() { breaker instance get "$order" | jq -r '[.status] + [.tokens[].place] | join(" ")'; }
fire() { breaker fire "$order" "$@" --by try | jq -e .success >/dev/null || fail "$1 did not fire"; }

fire charge
fire payment_succeeded
fire fulfil
is "the order after its split" "active item_to_pick item_to_pick item_to_pick" "$(where)"

say "killing one of the two copies of token"
docker kill "$(copies token | head -n 1)" >/dev/null
fire pick
fire pick
is "the order after two picks" "active item_picked item_picked item_to_pick" "$(where)"
listed() { [ "$(breaker token list order --place item_picked | jq '.tokens | length')" = 2 ]; }
await 60 "the other copy to keep the view" listed
fire pick
packed() { [ "$(where)" = "active packed" ]; }
await 30 "the rules service to have it packed" packed

say "a parcel without a label"
if breaker fire "$order" ship --by try >"$work/ship.json" 2>&1; then fail "ship fired without a label"; fi
grep -q rule_rejected "$work/ship.json" || fail "ship was refused with $(cat "$work/ship.json")"

say "a function that doubles a number, in the function-runner's container"
echo '{"id": "double", "kind": "expression", "expression": "input.n * 2"}' | breaker functions put - | jq -e '.functions[0].outcome == "created"' >/dev/null
is "twice 21" "succeeded 42" "$(breaker functions invoke double --input '{"n": 21}' | jq -r '"\(.status) \(.output)"')"

say "stopping the services within their grace period"
for service in token rules transition function-runner; do
    id=$(copies $service | tail -n 1)
    "${compose[@]}" stop $service >/dev/null 2>&1
    is "exit code of $service" 0 "$(docker inspect -f '{{.State.ExitCode}}' "$id")"
done

say "replacing every container, on the same volume"
"${compose[@]}" down >/dev/null 2>&1
up
is "the order in new containers" "active packed" "$(where)"
fire ship --data '{"parcel": "P-1", "carrier": "post"}'
fire deliver
is "the order at its end" "completed delivered" "$(where)"
breaker verify >"$work/verify.json" || fail "verify: $(cat "$work/verify.json")"

say "passed"
