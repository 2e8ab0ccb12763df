# Shared by the transport figures: rdmad bench beside its anchor, in turns, in one guest boot. Sourced.
# Rates are taken from outside: two runs of different length, and the difference of their times. Starting, connecting and
# ending cancel out, and perftest's own clock, which often fails in a guest, is not needed.

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%.0f%%", (v[NR] - v[1]) / v[int((NR + 1) / 2)] * 100 }'; }
address=10.9.0.1

# in_guest SCRIPT [ARG...]: builds, and runs SCRIPT --inside RDMAD ARG... beside rxe0.
in_guest() {
  local script=$1; shift
  tools/install-dependencies >&2
  swift build -c release --product rdmad >&2
  exec tools/rxe/run --time-limit 300 -- "$script" --inside "$(swift build -c release --show-bin-path)/rdmad" "$@"
}

# wait_for_port PORT: until something listens on it (all of an anchor's servers use TCP to meet).
wait_for_port() {
  local hex; hex=$(printf ':%04X' "$1")
  for _ in $(seq 200); do
    awk -v h="$hex" '$2 ~ h "$" && $4 == "0A" { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 && return
    sleep 0.05
  done
  echo "nothing listens on port $1" >&2
  return 1
}

# anchor_run N COMMAND...: one run of a perftest pair with N iterations.
anchor_run() {
  local n=$1; shift
  "$@" -n "$n" >/dev/null 2>&1 &
  wait_for_port 18515
  "$@" -n "$n" "$address" >/dev/null 2>&1
  wait $! || true
}
own_run() {
  local n=$1; shift
  "$@" -n "$n" >/dev/null
}

# seconds KIND N COMMAND...: how long a run takes, seen from outside.
seconds() {
  local begin end
  begin=$(date +%s%N)
  "$1_run" "${@:2}"
  end=$(date +%s%N)
  echo $((end - begin))
}

# rate KIND N1 N2 COMMAND...: iterations per second; nothing when the clock ran backwards between two noisy runs.
rate() {
  local kind=$1 few=$2 many=$3 short long; shift 3
  short=$(seconds "$kind" "$few" "$@")
  long=$(seconds "$kind" "$many" "$@")
  awk -v n=$((many - few)) -v t=$((long - short)) 'BEGIN { if (t > 0) printf "%.1f\n", n / t * 1e9 }'
}

# compare NAME GOAL OWN-FILE ANCHOR-FILE least|most: the last line; the value is the ratio of the medians.
compare() {
  local own anchor
  own=$(median <"$3") anchor=$(median <"$4")
  echo "own $own (spread $(spread <"$3")), anchor $anchor (spread $(spread <"$4")), medians of $(wc -l <"$3") and $(wc -l <"$4")"
  awk -v name="$1" -v goal="$2" -v own="$own" -v anchor="$anchor" -v kind="$5" 'BEGIN {
    ratio = anchor > 0 ? own / anchor : 0
    ok = own > 0 && anchor > 0 && (kind == "least" ? ratio >= goal : ratio <= goal)
    printf "%s %.3fx %s%.2fx %s\n", name, ratio, kind == "least" ? ">=" : "<=", goal, ok ? "ok" : "short"
    exit !ok }'
}

# rate_figure NAME GOAL ROUNDS N1 N2 "OWN FLAGS" ANCHOR [FLAG...]: messages per second of the bench over the anchor's.
rate_figure() {
  local name=$1 goal=$2 rounds=$3 few=$4 many=$5 own=$6; shift 6
  local work; work=$(mktemp -d /dev/shm/rdmad-figure.XXXXXX)
  for _ in $(seq "$rounds"); do
    rate anchor "$few" "$many" "$@" >>"$work/anchor"
    # shellcheck disable=SC2086
    rate own "$few" "$many" "$rdmad" bench transport $own --loopback --port 18600 >>"$work/own"
  done
  echo "messages per second; anchor: $*; own: rdmad bench transport $own; $many - $few iterations"
  compare "$name" "$goal" "$work/own" "$work/anchor" least
}
