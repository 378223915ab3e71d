#!/bin/sh
# Deploys through the gate, with nothing but curl: records the deployment, waits until it is approved, runs the command,
# reports how it went.
#
#   deploy-with-gate.sh [--] command [argument ...]
#
# It exits like the command does, and with 1 if the deployment may not go: it was rejected, canceled, or not approved in
# time. Interrupted, it ends the command and gives the deployment up. What it needs to know is in the environment:
#
#   GATEHOUSE_URL    where REST is served, for example http://127.0.0.1:8080
#   GATEHOUSE_TOKEN  the token of a user who may deploy
#   PROJECT          the project's full path or id
#   ENVIRONMENT      the environment's name
#   SHA, REF         what is deployed: the commit, and its branch or tag
#   TAG              true if REF is a tag (default: false)
#   PATIENCE         how long to wait for approval, in seconds (default: 86400)
set -eu

: "${GATEHOUSE_URL:?}" "${GATEHOUSE_TOKEN:?}" "${PROJECT:?}" "${ENVIRONMENT:?}" "${SHA:?}" "${REF:?}"
TAG=${TAG:-false}
PATIENCE=${PATIENCE:-86400}
[ "${1:-}" != -- ] || shift
[ $# -gt 0 ] || { echo "usage: $0 command [argument ...]" >&2; exit 2; }

deployments=$GATEHOUSE_URL/api/v4/projects/$(printf %s "$PROJECT" | sed 's|/|%2F|g')/deployments
body=
deployment=
command=

say() { echo "$*" >&2; }

# Answers the body. The token goes in by a pipe: what is on a command line, everyone on the machine can read.
ask() {
    printf 'PRIVATE-TOKEN: %s\n' "$GATEHOUSE_TOKEN" | curl --silent --show-error --header @- "$@"
}

# Asking again is safe for what can be repeated, so those calls outlast a restart of the server.
ask_again() {
    ask --retry 10 --retry-connrefused --retry-delay 1 "$@"
}

# The first "status" of a deployment's JSON is its own.
status_of() {
    printf %s "$1" | grep -o '"status":"[a-z]*"' | head -n 1 | cut -d '"' -f 4
}

# The id is the first thing in a deployment's JSON; an error has none.
id_of() {
    printf %s "$1" | grep -o '^{"id":[0-9]*' | cut -d : -f 2
}

# Tells how it stands now. A report that was repeated because its answer was lost is refused the second time, so what
# counts is where the deployment is.
report() {
    body=$(ask_again --request PUT --data "status=$1" "$deployments/$deployment")
    [ "$(status_of "$body")" = "$1" ] && return
    now=$(ask_again "$deployments/$deployment")
    [ "$(status_of "$now")" = "$1" ] && return
    say "cannot report $1: $body"
    return 1
}

# Who interrupts the deployment gives it up.
# shellcheck disable=SC2329 # the trap calls it
interrupted() {
    trap - INT TERM HUP
    if [ -n "$command" ]; then
        kill "$command" 2>/dev/null || true
        wait "$command" || true
    fi
    # It may have come while the deployment was being recorded.
    [ -n "$deployment" ] || deployment=$(id_of "$body") || true
    if [ -n "$deployment" ]; then
        say "interrupted: deployment $deployment is canceled"
        report canceled || true
    fi
    exit 130
}
trap interrupted INT TERM HUP

body=$(ask --data-urlencode "environment=$ENVIRONMENT" --data-urlencode "sha=$SHA" --data-urlencode "ref=$REF" \
    --data "tag=$TAG" --data "status=running" "$deployments")
deployment=$(id_of "$body") || true
[ -n "$deployment" ] || { say "cannot record the deployment: $body"; exit 1; }
status=$(status_of "$body")

deadline=$(($(date +%s) + PATIENCE))
[ "$status" != blocked ] || say "deployment $deployment waits for approval"
while [ "$status" = blocked ]; do
    left=$((deadline - $(date +%s)))
    if [ "$left" -le 0 ]; then
        report canceled || true
        say "deployment $deployment was not approved in time"
        exit 1
    fi
    # The server answers at the moment in which it is decided. A shell hears signals between commands: hence no longer.
    [ "$left" -lt 5 ] || left=5
    body=$(ask_again "$deployments/$deployment?wait_for=approved&timeout=$left")
    status=$(status_of "$body")
done

case $status in
    created) report running ;;
    running) ;;
    failed) say "deployment $deployment was rejected"; exit 1 ;;
    *) say "deployment $deployment may not go: ${status:-$body}"; exit 1 ;;
esac

# In the background, where signals are heard while it runs; it keeps the standard input, which it would lose there.
exec 3<&0
code=0
"$@" <&3 3<&- &
command=$!
wait "$command" || code=$?
command=
if [ "$code" -eq 0 ]; then
    report success
    say "deployment $deployment succeeded"
else
    report failed || true
    say "deployment $deployment failed: the command exited with $code"
fi
exit "$code"
