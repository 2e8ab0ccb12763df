# Sourced by scripts that check things one by one; they set $work, a directory of their own.
# shellcheck shell=bash

passed=0 failed=0

# How often a check may be tried: more than once only where waiting on a busy machine is the only thing left to chance.
check_attempts=1

# check NAME FUNCTION: passes when the function returns 0; shows what it printed when not.
check() {
  local begin=$EPOCHREALTIME code=0 attempt
  for ((attempt = 1; attempt <= check_attempts; attempt++)); do
    code=0
    "$2" >"$work/report" 2>&1 || code=$?
    [ "$code" != 0 ] || break
    [ "$attempt" = "$check_attempts" ] || { echo "once more: $1"; sed 's/^/       | /' "$work/report" | tail -n 40; }
  done
  local took=$(( (${EPOCHREALTIME/./} - ${begin/./}) / 1000 ))
  if [ "$code" = 0 ]; then
    passed=$((passed + 1)); printf 'ok     %s (%d ms)\n' "$1" "$took"
  else
    failed=$((failed + 1)); printf 'FAILED %s (%d ms)\n' "$1" "$took"
    sed 's/^/       | /' "$work/report" | tail -n 40
  fi
}

# expect STATUS COMMAND...: runs the command, output in $out and $err, and compares its exit status.
expect() {
  local want=$1 code=0; shift
  "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
  out=$(<"$work/out") err=$(<"$work/err")
  [ "$code" = "$want" ] || { echo "status $code, expected $want"; echo "$out"; echo "$err"; return 1; }
}
equal() { [ "$1" = "$2" ] || { printf 'got      %q\nexpected %q\n' "$1" "$2"; return 1; }; }
contains() { [[ $1 == *"$2"* ]] || { printf '%q does not contain %q\n' "$1" "$2"; return 1; }; }

# The last line, and the script's status.
finish_checks() {
  echo "$passed passed, $failed failed"
  [ "$failed" = 0 ]
}
