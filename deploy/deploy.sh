#!/usr/bin/env bash
# Brings the service into Snowpark Container Services, or a newer version of it. It can be run again
# at any time: what is there stays, and a secret that exists is never replaced.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<'END'
Usage: deploy/deploy.sh [options]

  --digest sha256:…    deploy an image that is in the repository already, instead of building one
  --dry-run            print every statement that would be sent, and send none
  --timeout SECONDS    how long to wait until the service is ready (600)
  -c, --connection C   connection of the Snowflake CLI to use, instead of its default
  -x                   connect by SNOWFLAKE_… variables alone, as the CLI's option of that name does

It needs the Snowflake CLI (snow), python3 and, unless --digest is given, docker. setup.sql comes
first. The user needs the roles echo_deployer and echo_role.

An environment is described by variables, each with the default in spec.yml or here:

  ECHO_PREFIX          what the names of all objects begin with (echo)
  ECHO_MIN_INSTANCES   instances at least (2), ECHO_MAX_INSTANCES at most (as many)
  ECHO_CORS_ORIGINS    origins whose pages may call the API from a browser, separated by commas
  ECHO_<KEY>           any key below env: in spec.yml, such as ECHO_LOG_LEVEL
  FIRST_SUPERUSER_PASSWORD   asked for, or generated, if it is needed and not set
END
}

fail() {
	echo "deploy.sh: $*" >&2
	exit 1
}

# What is captured by the shell is not what the user reads.
exec 3>&1
say() { echo "$*" >&3; }

digest='' dry='' timeout=600 pause=3 connection=()
while (($#)); do
	case $1 in
	--digest) digest=${2:?} && shift ;;
	--dry-run) dry=1 ;;
	--timeout) timeout=${2:?} && shift ;;
	-c | --connection) connection=(--connection "${2:?}") && shift ;;
	-x) connection=(--temporary-connection) ;;
	-h | --help) usage && exit ;;
	*) usage >&2 && fail "unknown option $1" ;;
	esac
	shift
done

prefix=${ECHO_PREFIX:-echo}
least=${ECHO_MIN_INSTANCES:-2}
most=${ECHO_MAX_INSTANCES:-$least}
[[ $prefix =~ ^[a-z][a-z0-9]*$ ]] || fail "ECHO_PREFIX is '$prefix': write lower-case letters and digits"
[[ $least =~ ^[1-9][0-9]*$ && $most =~ ^[1-9][0-9]*$ ]] || fail 'ECHO_MIN_INSTANCES and ECHO_MAX_INSTANCES are whole numbers from 1'
((most >= least)) || fail "ECHO_MAX_INSTANCES is $most, less than ECHO_MIN_INSTANCES, $least"
[[ $timeout =~ ^[0-9]+$ ]] || fail '--timeout is a number of seconds'
[[ -z $digest || $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail '--digest is sha256: and 64 hexadecimal digits'

schema=${prefix}_db.${prefix}_schema
service=$schema.${prefix}_service
stage=@$schema.${prefix}_stage
deployer=${prefix}_deployer # brings images, specifications and secrets
owner=${prefix}_role        # owns the service, which runs as whoever created it

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# ask sends statements as a role, and prints the rows of the answers in JSON. Statements go by
# standard input: what is on a command line, every user of the machine can see.
ask() {
	local role=$1 all
	shift
	all=$(printf '%s;\n' "$@")
	if [[ $dry ]]; then
		say "-- as $role"
		say "$all"
		echo '[]'
	else
		renew_token
		snow sql ${connection[@]+"${connection[@]}"} --role "$role" --enable-templating NONE --format json --stdin <<<"$all"
	fi
}

# renew_token keeps a pipeline signed in: what it proves its identity with is valid for minutes only.
renew_token() {
	[[ ${SNOWFLAKE_WORKLOAD_IDENTITY_PROVIDER:-} == OIDC && ${GITHUB_ACTIONS:-} ]] || return 0
	SNOWFLAKE_TOKEN=$(snow auth oidc read-token --type=github)
	export SNOWFLAKE_TOKEN
}

# columns prints those columns of JSON rows, a row a line and "-" for what is not there.
columns() {
	python3 -c '
import json, sys
answer = sys.stdin.read() or sys.exit(1)  # refused, and said why
for rows in json.loads(answer):
    for row in rows if isinstance(rows, list) else [rows]:
        row = {name.lower(): value for name, value in row.items()}
        print(*("_".join(str(row.get(name, "")).split()) or "-" for name in sys.argv[1:]))' "$@"
}

build() {
	local repository version image
	repository=$(ask "$deployer" "SHOW IMAGE REPOSITORIES LIKE '${prefix}_repo' IN SCHEMA $schema" | columns repository_url)
	if [[ $dry ]]; then
		say '-- here docker builds and pushes the image'
		digest=sha256:$(printf '0%.0s' {1..64})
		return
	fi
	[[ $repository == */* ]] || fail "there is no image repository ${prefix}_repo in $schema: run setup.sql first"
	version=$(git describe --tags --always --dirty)
	image=$repository/echo-in-snowflake:$version
	# An attestation would make an index of the image, whose digest is not that of what runs.
	BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --platform linux/amd64 --build-arg VERSION="$version" --build-arg REVISION="$(git rev-parse HEAD)" -t "$image" . >&2
	renew_token
	snow spcs image-registry login ${connection[@]+"${connection[@]}"} --role "$deployer" >&2
	docker push "$image" >&2
	digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image")
	digest=$(awk -F@ -v name="$repository/echo-in-snowflake" '$1 == name { print $2; exit }' <<<"$digest")
	[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "docker does not say under which digest it pushed $image"
}

random() { head -c "$1" /dev/urandom | base64; }

# choose_password asks for the first password; an empty answer has one generated.
choose_password() {
	password=${FIRST_SUPERUSER_PASSWORD:-}
	if [[ -z $password ]]; then
		[[ ! -t 0 ]] || printf 'Password of the first superuser (empty: one is generated): ' >&2
		IFS= read -rs password || fail 'there is nobody to ask for the password of the first superuser: set FIRST_SUPERUSER_PASSWORD'
		[[ ! -t 0 ]] || echo >&2
	fi
	if [[ -z $password ]]; then
		password=$(random 18)
		shown=$password
	fi
	((${#password} >= 8 && ${#password} <= 128)) || fail 'the password of the first superuser has to have 8 to 128 characters'
}

# create_secrets prints the statements that make what is missing.
create_secrets() {
	local name value
	for name in "${prefix}_jwt" "${prefix}_jwt_previous" "${prefix}_first_password"; do
		if ! grep -qixF "$name" <<<"$there"; then
			if [[ $dry ]]; then
				value='…'
			elif [[ $name == *_first_password ]]; then
				value=${password//\\/\\\\}
				value=${value//\'/\'\'}
			else
				value=$(random 32)
			fi
			echo "CREATE SECRET IF NOT EXISTS $schema.$name TYPE = GENERIC_STRING SECRET_STRING = '$value'"
		fi
		echo "GRANT READ ON SECRET $schema.$name TO ROLE $owner"
	done
}

# render prints spec.yml for this environment and image.
render() {
	local key name value edits=(-e "s/echo_/${prefix}_/g")
	edits+=(-e "s|^\( *image: \).*|\1/${prefix}_db/${prefix}_schema/${prefix}_repo/echo-in-snowflake@$digest|")
	while read -r key; do
		name=ECHO_$key
		value=${!name:-}
		[[ $value =~ ^[A-Za-z0-9@.,:/\ _+-]*$ ]] || fail "$name has characters that cannot stand in spec.yml"
		[[ -z $value ]] || edits+=(-e "s|^\( *$key: \).*|\1\"$value\"|")
	done < <(sed -n 's/^      \([A-Z_]*\): .*/\1/p' deploy/spec.yml)
	if [[ -z ${ECHO_CORS_ORIGINS:-} ]]; then
		edits+=(-e '/# begin of CORS/,/# end of CORS/d')
	else
		value='"'${ECHO_CORS_ORIGINS//,/'", "'}'"'
		[[ $value =~ ^[][A-Za-z0-9.:/\",\ -]*$ ]] || fail 'ECHO_CORS_ORIGINS has characters that no origin has'
		edits+=(-e "s|^\( *Access-Control-Allow-Origin: \).*|\1[$value]|")
	fi
	sed "${edits[@]}" deploy/spec.yml
}

# bring uploads the specification, and creates the secrets that it names and that are missing. It stays
# in the stage under a name of its own, so that it can be gone back to.
bring() {
	local there made shown='' statements=()
	there=$(ask "$deployer" "SHOW SECRETS IN SCHEMA $schema" | columns name)
	[[ $dry ]] || grep -qixF "${prefix}_first_password" <<<"$there" || choose_password
	made=$(create_secrets)
	while IFS= read -r statement; do statements+=("$statement"); done <<<"$made"
	render >"$folder/spec.yml"
	version=$(python3 -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:16])' <"$folder/spec.yml")
	[[ ! $dry ]] || sed 's/^/-- /' "$folder/spec.yml" >&3
	# Before it is sent: if a later statement is refused, the secret is there, and is never replaced.
	[[ -z $shown ]] || say "The password of the first superuser is $shown ; it is not shown again."
	ask "$deployer" "${statements[@]}" "PUT 'file://$folder/spec.yml' $stage/$version AUTO_COMPRESS = FALSE OVERWRITE = TRUE" >/dev/null
}

properties="MIN_INSTANCES = $least MAX_INSTANCES = $most MIN_READY_INSTANCES = $((least > 1 ? least - 1 : 1)) AUTO_RESUME = TRUE QUERY_WAREHOUSE = ${prefix}_wh"
show_service="SHOW SERVICES LIKE '${prefix}_service' IN SCHEMA $schema"
show_containers="SHOW SERVICE CONTAINERS IN SERVICE $service"
show_endpoints="SHOW ENDPOINTS IN SERVICE $service"
resume="ALTER SERVICE $service RESUME"
set_properties="ALTER SERVICE $service SET $properties"
create() { echo "CREATE SERVICE IF NOT EXISTS $service IN COMPUTE POOL ${prefix}_pool FROM $stage SPECIFICATION_FILE = '$1/spec.yml' $properties"; }
show_log() { echo "SELECT SYSTEM\$GET_SERVICE_LOGS('$service', $1, 'api', 20) AS log"; }
change_to() { echo "ALTER SERVICE $service FROM $stage SPECIFICATION_FILE = '$1/spec.yml'"; }

# What was last seen ready is noted in the service itself: it is what can be gone back to. While
# something else is tried it is called "before", so that nobody takes it for what runs if this is interrupted.
note() { echo "ALTER SERVICE $service SET COMMENT = '$1: $2 $3'"; }

# is_ready tells whether the service runs nothing but the image of that digest, and enough of it.
is_ready() {
	seen=$(ask "$owner" "$show_service" "$show_containers" | columns status is_upgrading image_digest instance_id message) || return 1
	! grep -qvE "^(RUNNING [Ff][Aa][Ll][Ss][Ee] - |READY - $1 )" <<<"$seen" && (($(wc -l <<<"$seen") > least))
}

# wait_for waits until that is so twice: it is not documented how soon after ALTER SERVICE a service
# is said to be upgrading.
wait_for() {
	local deadline=$((SECONDS + timeout)) times=0
	say "waiting until $least instances are ready …"
	until ((times == 2)); do
		if is_ready "$1"; then
			times=$((times + 1))
		elif ((SECONDS < deadline)); then
			times=0
		else
			say "not ready after $timeout s; the service and its containers (status, upgrading, image, instance, message):"
			say "$seen"
			return 1
		fi
		sleep "$pause"
	done
}

show_url() {
	local url deadline=$((SECONDS + timeout))
	# One that is still being made is said to be so, in a sentence, whose blanks are underscores here.
	until url=$(ask "$owner" "$show_endpoints" | columns ingress_url) && [[ $url == *.* && $url != *_* ]]; do
		((SECONDS < deadline)) || fail "ready, but without an address after $timeout s: $show_endpoints"
		sleep "$pause"
	done
	say "https://$url"
}

give_up() {
	# An upgrade begins with the last instance: the first may still run the version before.
	instance=$(awk '$4 != "-" && $1 != "READY" { print $4; exit }' <<<"$seen")
	# A container that never started has none, and Snowflake says so.
	if log=$(ask "$owner" "$(show_log "${instance:-0}")"); then
		python3 -c 'import json, sys; print(*(v for row in json.load(sys.stdin) for v in row.values()))' <<<"$log" >&3
	fi
	if [[ $image == sha256:* ]]; then
		say "going back to $before"
		ask "$owner" "$(change_to "$before")" >/dev/null
		wait_for "$image" || fail 'neither the new version nor the one before became ready: see deploy/README.md'
		ask "$owner" "$(note ready "$before" "$image")" >/dev/null
		fail 'the new version did not become ready: the one before is back'
	fi
	fail 'the first version did not become ready, and there is none to go back to: see deploy/README.md'
}

# rehearse prints what depends on what is there.
rehearse() {
	say '-- if there is no service yet'
	ask "$owner" "$(create "$version")"
	say '-- if there is one: the second and third unless it runs this version, the last if it is suspended'
	ask "$owner" "$set_properties" "$(note before '<version before>' '<its image>')" "$(change_to "$version")" "$resume"
	say '-- until it is ready'
	ask "$owner" "$show_service" "$show_containers"
	say '-- if it does not become ready'
	ask "$owner" "$(show_log '<instance that is not ready>')"
	ask "$owner" "$(change_to '<version before>')" "$(note ready '<version before>' '<its image>')"
	say '-- if it does'
	ask "$owner" "$(note ready "$version" "$digest")" "$show_endpoints"
}

[[ $dry ]] || command -v snow >/dev/null || fail 'there is no snow, the Snowflake CLI: see deploy/README.md'
command -v python3 >/dev/null || fail 'there is no python3'
[[ $digest ]] || build
bring
found=$(ask "$owner" "$show_service" | columns status comment)
if [[ $dry ]]; then
	rehearse >/dev/null
	exit
fi
read -r status known <<<"$found"
IFS=_ read -r _ before image <<<"$known"
if [[ -z $found ]]; then
	changes=("$(create "$version")")
else
	changes=("$set_properties") # first: what is wrong with them is refused before anything has changed
	if [[ $known != "ready:_${version}_$digest" ]]; then
		[[ $image != sha256:* ]] || changes+=("$(note before "$before" "$image")")
		changes+=("$(change_to "$version")")
	fi
	[[ $status != SUSPEND* ]] || changes+=("$resume")
fi
ask "$owner" "${changes[@]}" >/dev/null
wait_for "$digest" || give_up
say "version $version of the specification, image $digest"
ask "$owner" "$(note ready "$version" "$digest")" >/dev/null
show_url
