#!/usr/bin/env bash
# A function of kind nats with nothing but the nats command line: it makes a text loud.
#
#   NATS_URL=nats://127.0.0.1:4222 ./function.sh
#
# Elsewhere, once: make it known to the fleet, and call it.
#
#   nats req breaker.function.create '{"id": "shout", "kind": "nats", "output_schema": {"type": "object"}}'
#   nats req breaker.function.invoke '{"id": "shout", "input": {"text": "well done"}}'
#
# Needs nats 0.5 or newer (NATS_CLI names another binary). jq reads the JSON where there is one
# (JQ names another, or none), sed and tr where there is not.
#
# What nats reply can and cannot do, and what follows from it:
#
# - It runs the command for each request and replies with what that prints, on standard error
#   too. So print JSON to say what the output is, and anything else to say why there is none: a
#   reply that is no JSON is a failure (invalid_output), which is not tried again.
# - The exit status does not count, and printing nothing would be success without an output,
#   also when the command could not be started. The output_schema above makes that a failure.
# - The input comes in the environment, so it can have 128 KiB at most (on Linux).
# - The command does not see the headers. It cannot know its Idempotency-Key, say that it is still
#   at work, or ask to be tried again later (Nats-Service-Error-Code). So this is for what is
#   quick, and harmless when it is done twice. Otherwise see ../node/function.js.
# - One request at a time. Start it as often as you like, also on other machines: the copies are
#   in a queue group, and share the work.
# - It does not wait for the request at work when it is asked to stop. The runner tries that one
#   again, after the function's timeout.
set -euo pipefail

# explain says why there is no output.
explain() { printf 'shout: %s\n' "$*"; exit 1; }

# with_jq makes one JSON value of another. -n and input: no value at all is an error, too.
with_jq() {
  "$jq" --null-input --compact-output 'input
    | if type == "object" and (.text | type) == "string" then {text: (.text | ascii_upcase)}
      else error("the input is no {\"text\": \"…\"}") end'
}

# without_jq knows just enough JSON for {"text": "…"}, and refuses what it does not understand.
without_jq() {
  local input text
  input="$(tr -d '\n')"
  text="$(sed -nE 's/^[[:space:]]*\{[[:space:]]*"text"[[:space:]]*:[[:space:]]*"([^"]*)"[[:space:]]*\}[[:space:]]*$/"\1"/p' <<<"$input")"
  case "$text" in
    "") explain 'without jq, the input must be {"text": "…"}, and nothing more' ;;
    *\\*) explain 'without jq, the text must have no escapes' ;;
  esac
  printf '{"text":%s}\n' "$(LC_ALL=C tr 'a-z' 'A-Z' <<<"$text")"
}

# answer does the work: the input is in the environment, the output goes to standard output.
answer() {
  jq="${JQ-jq}"
  if command -v "$jq" >/dev/null; then
    with_jq <<<"$NATS_REQUEST_BODY"
  else
    without_jq <<<"$NATS_REQUEST_BODY"
  fi
}

if [ "${1:-}" = answer ]; then
  answer
  exit
fi

# nats reply runs this very script for each request. Do not put {{.Request}} on its command line:
# whoever wrote the input would write your command, too.
self="$(cd "$(dirname "$0")" && pwd)/$(basename "$0")"
export NATS_URL="${NATS_URL:-nats://127.0.0.1:4222}"
exec "${NATS_CLI:-nats}" reply functions.shout --queue shout --command "bash '$self' answer"
