#!/usr/bin/env bash
# A workflow from the cradle to the grave with nothing but the nats command line.
#
#   NATS_URL=nats://127.0.0.1:4222 ./run.sh
#
# Needs nats 0.5 or newer (NATS_CLI names another binary). Leaves nothing behind and exits
# other than 0 as soon as an answer is not what it should be.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "$0")"

nats="${NATS_CLI:-nats}"
export NATS_URL="${NATS_URL:-nats://127.0.0.1:4222}"
name="shell_example_$(date +%s)_$$"
me="shell@example.com"

say() { printf '\n%s\n' "== $*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# call sends a request and prints the reply. --raw leaves the headers out, so an error is
# told by its body, which begins with its code.
call() { "$nats" request --raw --timeout 10s "$1" "$2" 2>/dev/null || fail "no answer on $1"; }

# ask is call for what must succeed.
ask() {
  local reply
  reply="$(call "$1" "$2")"
  case "$reply" in '{"code":'*) fail "$1 answered $reply" ;; esac
  printf '%s' "$reply"
}

# refuse is for what must fail with a code of errors.json.
refuse() {
  local reply
  reply="$(call "$1" "$2")"
  case "$reply" in
    "{\"code\":\"$3\""*) echo "refused as it should be: $reply" ;;
    *) fail "$1 should answer $3, and answered $reply" ;;
  esac
}

# member prints a member of a reply, the first of that name, or nothing; strings lose their
# quotes.
member() { { grep -oE "\"$2\":(\"[^\"]*\"|[0-9]+|true|false)" <<<"$1" || true; } | head -n 1 | cut -d: -f2- | tr -d '"'; }

# expect checks a member.
expect() {
  local got
  got="$(member "$1" "$2")"
  [ "$got" = "$3" ] || fail "$2 is '$got', not '$3', in $1"
}

# A UUID without uuidgen; any string that is new will do.
fresh() { printf '%s-%s-%s' "$name" "$RANDOM" "$RANDOM"; }

say "deploy $name"
definition="$(sed "s/@NAME@/$name/" review.json)"
workflow="$(ask breaker.workflow.create "{\"definition\": $definition, \"triggered_by\": \"$me\"}")"
w="$(member "$workflow" id)"
stream="$(member "$workflow" stream)"
echo "workflow $w, version $(member "$workflow" version), in the stream $stream"

cleanup() { call breaker.workflow.delete "{\"workflow_id\": \"$w\", \"confirm\": \"$name\"}" >/dev/null; }
trap cleanup EXIT

say "create a token, and create it again with the same request_id"
# After a time-out one repeats the very same request: there is still one token.
create="{\"workflow_id\": \"$name\", \"data\": {\"title\": \"Proposal\", \"pages\": 12}, \"triggered_by\": \"$me\", \"request_id\": \"$(fresh)\"}"
token="$(ask breaker.token.create "$create")"
t="$(member "$token" id)"
again="$(ask breaker.token.create "$create")"
expect "$token" place draft
expect "$again" id "$t"
arrival="$(member "$token" arrival_sequence)"
echo "token $t stands in draft since sequence $arrival"

say "data that the definition's schema refuses"
refuse breaker.token.create "{\"workflow_id\": \"$name\", \"data\": {\"pages\": 12}}" schema_violation

say "a guard: nobody is to review it yet"
refuse breaker.transition.fire "{\"token_id\": \"$t\", \"transition_id\": \"submit_for_review\"}" rule_rejected
judged="$(ask breaker.rule.evaluate "{\"condition\": {\"field_exists\": \"data.reviewer\"}, \"token_id\": \"$t\"}")"
expect "$judged" passed false
member "$judged" explanation

say "fire, with somebody"
fired="$(ask breaker.transition.fire "{\"token_id\": \"$t\", \"transition_id\": \"submit_for_review\", \"data\": {\"reviewer\": \"bob\"}, \"triggered_by\": \"$me\", \"request_id\": \"$(fresh)\"}")"
expect "$fired" success true
expect "$fired" place review
member "$fired" message
refuse breaker.transition.fire "{\"token_id\": \"$t\", \"transition_id\": \"submit_for_review\"}" transition_not_enabled

say "a fence: only if the token still stands where it arrived at $arrival"
refuse breaker.token.update "{\"token_id\": \"$t\", \"data\": {\"late\": true}, \"arrival_sequence\": $arrival}" token_moved

say "a split, and both branches"
split="$(ask breaker.transition.fire "{\"token_id\": \"$t\", \"transition_id\": \"check\", \"triggered_by\": \"$me\"}")"
[ "$(grep -o '"parents"\|"lineage"' <<<"$split" | wc -l)" -ge 2 ] || fail "the split did not make two tokens: $split"
ask breaker.transition.fire "{\"instance_id\": \"$t\", \"transition_id\": \"clear_legal\"}" >/dev/null
cleared="$(ask breaker.transition.fire "{\"instance_id\": \"$t\", \"transition_id\": \"clear_finance\"}")"
expect "$cleared" place finance_ok
legal="$(member "$split" id)"
refuse breaker.transition.fire "{\"token_id\": \"$t\", \"transition_id\": \"send_back\"}" token_ended

say "the marking, from the view"
# The view follows the truth within moments, so look until it has. What has just left a
# place still shows for some seconds, as an empty message.
view="workflows.$w.places"
for _ in $(seq 1 100); do
  marking="$("$nats" stream subjects PLACES "$view.*.tokens.*" --names 2>/dev/null || true)"
  if grep -q "$view.legal_ok.tokens.$legal" <<<"$marking" && grep -q "$view.finance_ok.tokens." <<<"$marking"; then break; fi
  sleep 0.1
done
grep -o "$view\.[a-z_]*\.tokens\.[0-9a-f-]*" <<<"$marking" || fail "the view is empty"
grep -q "$view.legal_ok.tokens.$legal" <<<"$marking" || fail "no token in legal_ok: $marking"
standing="$("$nats" stream get PLACES --last-for "$view.legal_ok.tokens.$legal" 2>/dev/null)"
expect "$standing" place legal_ok
expect "$standing" reviewer bob

say "join"
approved="$(ask breaker.transition.fire "{\"instance_id\": \"$t\", \"transition_id\": \"approve\", \"to_place\": \"approved\"}")"
expect "$approved" place approved
expect "$approved" status completed
last="$(member "$approved" id)"
refuse breaker.transition.fire "{\"instance_id\": \"$t\", \"transition_id\": \"approve\"}" instance_finished

say "history of the last token"
history="$(ask breaker.token.history "{\"token_id\": \"$last\"}")"
steps="$(grep -o '"transition_id":"[^"]*"' <<<"$history" | cut -d'"' -f4 | tr '\n' ' ')"
echo "$steps"
case "$steps" in create\ submit_for_review\ check\ *approve\ ) ;; *) fail "the history is $history" ;; esac

say "events, through a JetStream consumer"
# A core subscription would show messages before the stream has accepted them, and none
# after it went away. A consumer shows what is true, from wherever one left off.
"$nats" consumer add "$stream" shell_example --pull --ack explicit --deliver all --inactive-threshold 1m \
  --filter "workflows.$w.events.*.$t.*" --defaults >/dev/null
batch="$("$nats" consumer next "$stream" shell_example --raw --count 6 2>/dev/null)" || fail "there are fewer events than changes"
events=""
while read -r event; do
  events="$events $(member "$event" event_type)/$(member "$event" transition_id)"
done <<<"$batch"
echo "$events" | tr ' ' '\n' | grep .
expected=" token_created/ token_transitioned/submit_for_review token_transitioned/check token_transitioned/clear_legal token_transitioned/clear_finance token_transitioned/approve"
[ "$events" = "$expected" ] || fail "the events are $events"

say "done: nothing is left behind"
