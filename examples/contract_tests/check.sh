#!/bin/sh
# A contract test with nothing but sh, curl and sed, against a mock that runs:
#
#   wanspec mock serve --port 8600 --running 0.1:0.2 &
#   sh examples/contract_tests/check.sh http://127.0.0.1:8600
set -eu

MOCK=${1:-${MOCK_URL:-http://127.0.0.1:8600}}
FILE=$(mktemp)
trap 'rm -f "$FILE"' EXIT

ask() { curl --silent --show-error --fail-with-body --noproxy '*' --header 'Authorization: Bearer sk-mock' "$@"; }
value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
expect() { [ "$2" = "$3" ] || fail "$1 is $2, not $3"; echo "ok: $1 is $3"; }

ask --request POST "$MOCK/_mock/reset" >"$FILE"

ask --request POST "$MOCK/api/v1/services/aigc/text2image/image-synthesis" \
  --header 'Content-Type: application/json' --header 'X-DashScope-Async: enable' \
  --data '{"model": "wan2.2-t2i-flash", "input": {"prompt": "a cat"}, "parameters": {"size": "512*512", "n": 1}}' >"$FILE"
expect "the state of a new task" "$(value task_status <"$FILE")" PENDING
TASK=$(value task_id <"$FILE")

STATE=PENDING
while [ "$STATE" = PENDING ] || [ "$STATE" = RUNNING ]; do
  sleep 0.2
  ask "$MOCK/api/v1/tasks/$TASK" >"$FILE"
  STATE=$(value task_status <"$FILE")
done
expect "its state at the end" "$STATE" SUCCEEDED

LINK=$(value url <"$FILE")
TYPE=$(curl --silent --show-error --fail --noproxy '*' --output "$FILE" --write-out '%{content_type}' "$LINK")
expect "the type of its result" "$TYPE" image/png
expect "the first bytes of it" "$(od -A n -t x1 -N 4 "$FILE" | tr -d ' ')" 89504e47

ask "$MOCK/_mock/bill" >"$FILE"
expect "the number of tasks" "$(value tasks <"$FILE")" 1
expect "the price of it" "$(value CNY <"$FILE")" 0.14

CODE=$(curl --silent --noproxy '*' --output "$FILE" --write-out '%{http_code}' "$MOCK/api/v1/tasks/$TASK")
expect "the status without a key" "$CODE" 401
expect "the code without a key" "$(value code <"$FILE")" InvalidApiKey
