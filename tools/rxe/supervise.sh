# Sourced by run: a scratch directory, and processes that never outlive the runner.
#
# The supervised command runs in a process group of its own. A watchdog in another session holds the read end of a FIFO
# whose only write end is the runner's: when the runner ends in any way, SIGKILL included, the watchdog reads end-of-file,
# kills the group and removes the scratch directory. It also keeps the time limit.
# shellcheck shell=bash

scratch='' supervised='' watchdog='' lifeline='' gate='' terminal='' input_relay=''

# Makes $scratch, starts the watchdog, and arranges that every exit of the runner cleans up.
open_scratch() {
  local early=''                     # a signal waits until there is something complete to clean up
  trap 'early=129' HUP
  trap 'early=130' INT
  trap 'early=143' TERM
  local parent=${TMPDIR:-/tmp}
  case $parent in *[!A-Za-z0-9/._-]*) parent=/tmp ;; esac       # it goes on the guest kernel's command line
  scratch=$(mktemp -d "$parent/rdmad-rxe.XXXXXX")
  mkfifo "$scratch/lifeline" "$scratch/gate"
  # Opened for reading and writing, so that opening does not block; the watchdog keeps a read end only.
  exec {lifeline}<>"$scratch/lifeline"
  setsid bash -c "$watchdog_program" watchdog "$time_limit" "$scratch" \
    <"$scratch/lifeline" >/dev/null 2>&1 {lifeline}>&- {kept_input}<&- &
  watchdog=$!
  trap finish EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  [ -z "$early" ] || exit "$early"
}

finish() {
  trap '' HUP INT TERM
  end_supervised
  [ -z "$input_relay" ] || kill "$input_relay" 2>/dev/null || true      # else it takes the next key pressed
  [ -z "$terminal" ] || stty "$terminal" </dev/tty 2>/dev/null || true
  exec {lifeline}>&-                # the watchdog reads end-of-file and removes the scratch directory
  wait "$watchdog" || true
}

# supervise COMMAND [ARG...]: starts it with the caller's descriptors; its process (and group) is $supervised.
# The command waits at a gate until the watchdog knows it, so no moment exists in which a killed runner leaves it behind.
supervise() {
  exec {gate}<>"$scratch/gate"
  # shellcheck disable=SC2016
  setsid bash -c 'read -r _ <&9 || exit; exec 9<&-; exec "$@"' supervised "$@" \
    <&"$kept_input" 9<"$scratch/gate" {lifeline}>&- {gate}>&- {kept_input}<&- &
  supervised=$!
  echo "$supervised" >&"$lifeline"
  echo go >&"$gate"
  exec {gate}>&-
}

# A background command's standard input is /dev/null unless redirected: this copy is what supervise gives it.
exec {kept_input}<&0

# The watchdog: argument 1 the limit in seconds, 2 the scratch directory; its input names each supervised process and then
# says `done`. `read` says 1 at end-of-file (the runner is gone) and more than 128 at its limit.
# shellcheck disable=SC2016
watchdog_program='
  trap "" HUP INT TERM
  while read -r process; do
    read -r -t "$1" _ && continue || code=$?
    [ "$code" -le 128 ] || : >"$2/timed-out"
    kill -KILL -- "-$process" "$process"
    [ "$code" -gt 128 ] && read -r _ || break
  done
  rm -rf "$2"
'

# Waits for the supervised process and returns its status, without the shell's own word on how it died.
wait_supervised() {
  { wait "$supervised"; } 2>/dev/null
}

# Ends what supervise started, every process of its group.
end_supervised() {
  [ -n "$supervised" ] || return 0
  kill -KILL -- "-$supervised" "$supervised" 2>/dev/null || true
  wait_supervised || true
  echo 'done' >&"$lifeline"
  supervised=''
}

timed_out() {
  [ -e "$scratch/timed-out" ] || return 1
  say "the time limit of $time_limit s has passed, the command and its machine were ended: raise it with --time-limit"
}
