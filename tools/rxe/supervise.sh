# Sourced by run: a scratch directory, and processes that never outlive the runner.
#
# The supervised command runs in a process group of its own. A watchdog in another session holds the read end of a FIFO
# whose only write end is the runner's: when the runner ends in any way, SIGKILL included, the watchdog reads end-of-file,
# kills the group and removes the scratch directory. It also keeps the time limit.
# shellcheck shell=bash

scratch='' supervised='' watchdog='' lifeline='' gate='' terminal=''

# Makes $scratch and arranges that every exit of the runner cleans up.
open_scratch() {
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/rdmad-rxe.XXXXXX")
  trap finish EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

finish() {
  trap '' HUP INT TERM
  end_supervised
  [ -z "$terminal" ] || stty "$terminal" </dev/tty 2>/dev/null || true
  rm -rf "$scratch"
}

# supervise COMMAND [ARG...]: starts it with the caller's descriptors; its process (and group) is $supervised.
# The command waits at a gate until the watchdog knows it, so no moment exists in which a killed runner leaves it behind.
supervise() {
  rm -f "$scratch/lifeline" "$scratch/gate" "$scratch/timed-out"
  mkfifo "$scratch/lifeline" "$scratch/gate"
  # Opened for reading and writing, so that opening does not block; each child keeps a read end only.
  exec {lifeline}<>"$scratch/lifeline" {gate}<>"$scratch/gate"

  setsid bash -c "$watchdog_program" watchdog "$time_limit" "$scratch" \
    <"$scratch/lifeline" >/dev/null 2>&1 {lifeline}>&- {gate}>&- {kept_input}<&- &
  watchdog=$!
  # shellcheck disable=SC2016
  setsid bash -c 'read -r _ <&"$1" || exit; eval "exec $1<&-"; shift; exec "$@"' supervised 9 "$@" \
    <&"$kept_input" 9<"$scratch/gate" {lifeline}>&- {gate}>&- {kept_input}<&- &
  supervised=$!
  echo "$supervised" >&"$lifeline"
  echo go >&"$gate"
  exec {gate}>&-
}

# A background command's standard input is /dev/null unless redirected: this copy is what supervise gives it.
exec {kept_input}<&0

# The watchdog: argument 1 the limit in seconds, 2 the scratch directory; its input says the process, then `done`.
# shellcheck disable=SC2016
watchdog_program='
  trap "" HUP INT TERM
  read -r process || { rm -rf "$2"; exit; }
  if read -r -t "$1" _; then exit; fi
  [ $? -gt 128 ] && : >"$2/timed-out"
  kill -KILL -- "-$process" "$process"
  read -r _ || rm -rf "$2"
'

# Ends what supervise started, every process of its group, and returns when none is left.
end_supervised() {
  [ -n "$supervised" ] || return 0
  kill -KILL -- "-$supervised" "$supervised" 2>/dev/null || true
  wait "$supervised" 2>/dev/null || true
  local tries=0
  while kill -0 -- "-$supervised" 2>/dev/null && [ $((tries += 1)) -lt 200 ]; do sleep 0.01; done
  echo done >&"$lifeline" || true
  wait "$watchdog" 2>/dev/null || true
  exec {lifeline}>&-
  supervised=''
}

timed_out() {
  [ -e "$scratch/timed-out" ] || return 1
  say "the time limit of $time_limit s has passed, the command and its machine were ended: raise it with --time-limit"
}
