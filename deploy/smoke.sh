#!/usr/bin/env bash
# Asks a deployed service whether it is there, as its callers would.
#
#   deploy/smoke.sh https://….snowflakecomputing.app
#
# Nobody comes past the gateway without a token of Snowflake. With one in SNOWFLAKE_PAT, of a user
# whose role may call the service, it asks the service itself; without, only whether the gateway
# stands before it.
set -euo pipefail

url=${1:?the address that deploy.sh printed}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

if [[ ${SNOWFLAKE_PAT:-} ]]; then
	path=/api/v1/health want='^200$'
	# On standard input: what is on a command line, every user of the machine can see.
	header="header = \"X-SF-SPCS-Authorization: Snowflake Token=\\\"$SNOWFLAKE_PAT\\\"\""
else
	path=/ want='^(200|302|303|307|401|403)$' header=''
fi
# A new address takes a moment to be known everywhere.
for try in {1..12}; do
	status=$(curl -sS --max-time 10 -o "$answer" -w '%{http_code}' --config - "$url$path" <<<"$header") || true
	if [[ $status =~ $want ]]; then
		echo "$url$path: $status $(head -c 200 "$answer" | tr '\n' ' ')"
		exit
	fi
	[[ $try == 12 ]] || sleep "${SMOKE_PAUSE:-5}"
done
echo "smoke.sh: $url$path was answered with $status: $(head -c 500 "$answer")" >&2
exit 1
