#!/usr/bin/env bash
# Checks that a deployed service answers its callers.
#
#   deploy/smoke.sh https://….snowflakecomputing.app
#
# The gateway lets no request pass without a token of Snowflake. If SNOWFLAKE_PAT holds the token of a user
# whose role may call the service, this script asks the service. Otherwise it checks only the gateway.
set -euo pipefail

url=${1:?the address that go run ./deploy printed}
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

if [[ ${SNOWFLAKE_PAT:-} ]]; then
	path=/api/v1/health want='^200$'
	# On standard input, because every user of the machine can read a command line.
	header="header = \"X-SF-SPCS-Authorization: Snowflake Token=\\\"$SNOWFLAKE_PAT\\\"\""
else
	path=/ want='^(200|302|303|307|401|403)$' header=''
fi
# A new address needs a moment until all name servers know it.
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
