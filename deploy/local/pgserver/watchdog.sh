# Arguments: folder, number of the signal that stops the server, whether to remove the folder, seconds to wait.
# Each line of the input is the id of the process to stop. The input ends when the other process ends.
folder=$1 signal=$2 remove=$3 seconds=$4 pid=0
while read -r line; do pid=$line; done
if [ "$pid" != 0 ]; then
	kill -"$signal" "$pid"
	kill -CONT "$pid" # it may be paused
	left=$((seconds * 20))
	# A process that nobody waits for still has its id after its end, but removed its file.
	while [ $left -gt 0 ] && [ -e "$folder/data/postmaster.pid" ] && kill -0 "$pid"; do
		sleep 0.05
		left=$((left - 1))
	done
	kill -KILL -"$pid" # and its children, those of initdb too
fi 2>/dev/null
if [ "$remove" = true ]; then
	rm -rf "$folder" || { sleep 1 && rm -rf "$folder"; } # a process that was killed may still have created a file
fi
