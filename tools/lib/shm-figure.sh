# Shared by the figures of the shared-memory fabric. Sourced. Two processes, pinned to processors 0 and 1.

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# Between the quartiles, in per cent of the median: what a virtual processor that was moved for a moment does not change.
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%.0f", (v[int((3 * NR + 3) / 4)] - v[int((NR + 3) / 4)]) / v[int((NR + 1) / 2)] * 100 }'; }

# Leaves bench, the path of the built program, and work, a directory that goes with the script.
prepare() {
  tools/install-dependencies >&2
  [ "$(nproc)" -ge 2 ] || { echo "$0: needs two processors" >&2; exit 2; }
  swift build -c release --product shm-bench >&2
  bench=$(swift build -c release --show-bin-path)/shm-bench
  work=$(mktemp -d "${TMPDIR:-/tmp}/rdmad-figure.XXXXXX")
  server=''
  trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
}

# bench_once MEASURE: what `shm-bench MEASURE` prints.
bench_once() {
  taskset -c 0 "$bench" serve "$work/bench.sock" &
  server=$!
  for _ in $(seq 500); do
    [ -S "$work/bench.sock" ] && break
    sleep 0.01
  done
  timeout 60 taskset -c 1 "$bench" "$1" "$work/bench.sock"
  wait "$server"
  server=''
}
