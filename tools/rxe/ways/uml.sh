# The way `uml`: a User-Mode Linux kernel with rxe built in, an ordinary program. Sourced by ../run.
# shellcheck shell=bash
#
# The command's output leaves the guest over consoles of its own (tty1 standard output, tty2 standard error), which the
# kernel connects to FIFOs; the kernel's messages go to $scratch/console and are shown only when the guest dies.

run_uml() {
  uml_kernel || return 1
  uml_describe_command "$@"
  mkfifo "$scratch/out" "$scratch/err" "$scratch/in"

  # Both ends are held here until the guest has its own, so that no relay blocks in opening when the runner is killed.
  exec 6<>"$scratch/out" 7<>"$scratch/err"
  # A reader that goes away (`run … | head`) ends the run, as in any pipeline.
  { cat || kill -s PIPE $$ 2>/dev/null; } <"$scratch/out" 6>&- 7>&- {kept_input}<&- {lifeline}>&- &
  local out=$!
  { cat >&2 || kill -s PIPE $$ 2>/dev/null; } <"$scratch/err" >/dev/null 6>&- 7>&- {kept_input}<&- {lifeline}>&- &
  local err=$! input=null
  if [ -n "$interactive" ]; then
    terminal=$(stty -g </dev/tty)
    stty raw -echo </dev/tty
    exec 8<>"$scratch/in"
    cat <&"$kept_input" >"$scratch/in" 6>&- 7>&- 8>&- {lifeline}>&- &
    input_relay=$!
    exec 8<"$scratch/in"
    input=fd:8
  fi

  ulimit -c 0
  local device=()
  # The mtu bounds what the device may be set to; its buffers are as large.
  [ -z "$link" ] || device=("vec0:transport=fd,fd=${link#*:},mtu=9000,mac=02:00:0a:09:01:0${link%%:*}")
  # con0 is the kernel's console. A panic ends the process (and, through its exit handler, its own group only).
  local processor
  processor=$(uml_processor)
  supervise ${processor:+taskset -c "$processor"} "$kernel" "mem=$memory" root=/dev/root rootfstype=hostfs rootflags=/ ro "init=$scratch/init" \
    "uml_dir=$scratch/" umid=uml con=null con0=null,fd:1 "con1=$input,fd:6" con2=null,fd:7 panic=-1 \
    ${device[@]+"${device[@]}"} \
    </dev/null >"$scratch/console" 2>&1 6>"$scratch/out" 7>"$scratch/err"
  exec 6>&- 7>&-
  [ -z "$interactive" ] || exec 8<&-
  wait_supervised || true
  # Whatever the kernel left behind holds the FIFOs open.
  end_supervised
  wait "$out" "$err" || true

  if timed_out; then
    status=124
  elif [ -s "$scratch/guest/status" ]; then
    status=$(<"$scratch/guest/status")
  elif [ -e "$scratch/guest/ready" ]; then
    say "the guest died under the command; its console's last lines:"
    tail -n 25 "$scratch/console" | sed 's/^/  /' >&2
    status=125
  elif [ -s "$scratch/guest/failed" ]; then
    reason="the guest started, but $(<"$scratch/guest/failed")"
    return 1
  else
    reason="$kernel ended before user space (console: $(grep -v '^$' "$scratch/console" | tail -n 3 | tr '\n' ' '))"
    return 1
  fi
}

# Prints one of the processors this process may run on: the guests of a pair get one each.
#
# The guest has one processor, and its kernel and the processes that hold its user space only ever run in turns. Left to
# the scheduler they wake each other across processors, at each system call; on one, what they do takes half of the time.
uml_processor() {
  command -v taskset >/dev/null || return 0
  local part processors=()
  for part in $(taskset -cp $$ | sed 's/.*: //; s/,/ /g'); do
    # shellcheck disable=SC2207
    processors+=($(seq "${part%-*}" "${part#*-}"))
  done
  local number=${link%%:*}
  echo "${processors[$((${number:-$RANDOM} % ${#processors[@]}))]}"
}

# Sets $kernel. Not inside $(…): bash would hold back SIGTERM until a build of minutes has ended.
uml_kernel() {
  kernel=${RDMAD_RXE_KERNEL:-}
  if [ -z "$kernel" ]; then
    "$here/build-kernel" >"$scratch/kernel" {lifeline}>&- &
    wait $! || { reason="tools/rxe/build-kernel failed"; return 1; }
    kernel=$(<"$scratch/kernel")
  fi
  [ -x "$kernel" ] || { reason="$kernel is not a program"; return 1; }
}

# Writes what the guest's first process reads: NUL-separated lists, so that every byte of an argument survives.
uml_describe_command() {
  mkdir "$scratch/guest"
  printf '%s\0' "$@" >"$scratch/guest/command"
  printf '%s\0' "$PWD" "$writable" "$interactive" "$(stty size 2>/dev/null <&"$kept_input" || true)" "${link%%:*}" \
    >"$scratch/guest/settings"
  env -0 | grep -zE '^(PATH|HOME|USER|LANG|TERM|CI|FABRIC|RDMAD_[A-Z0-9_]*)=' >"$scratch/guest/environment" || true
  # perftest reads "cpu MHz", which the guest's own file lacks; the guest has one processor.
  sed '/^$/q' /proc/cpuinfo >"$scratch/guest/cpuinfo"
  install -m 755 "$here/guest-init" "$scratch/init"
}
