# Shared by the figures that set `rdmad produce` of the flights beside an anchor. Sourced.
# A script that sources it calls prepare (on this machine), then measure_produce and report where the fabric is.

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%.0f%%", (v[NR] - v[1]) / v[int((NR + 1) / 2)] * 100 }'; }

# Leaves rdmad and data, the paths of the built program and of the flights.
prepare() {
  tools/install-dependencies >&2
  data=${RDMAD_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/rdmad}/flights-in-use.csv
  tools/fetch-flights "$data" >&2
  swift build -c release --product rdmad >&2
  rdmad=$(swift build -c release --show-bin-path)/rdmad
}

# start_broker URL: a broker in $work, which the caller made; its log is $work/serve.log.
start_broker() {
  export RDMAD_BROKER=$1
  "$rdmad" serve --data "$work/data" --listen "$1" 2>"$work/serve.log" &
  broker=$!
  for _ in $(seq 100); do
    grep -qs ' ready$' "$work/serve.log" && return
    sleep 0.1
  done
  cat "$work/serve.log" >&2
  return 1
}

# produce_once N: MB/s of producing the flights into a topic of its own.
produce_once() {
  "$rdmad" topic create "flights-$1" --partitions 4 >/dev/null
  "$rdmad" produce "flights-$1" "$data" --header-lines 1 --key-column 10 2>&1 | sed -n 's|.*, \([0-9.]*\) MB/s$|\1|p'
}

# report NAME FLOOR PRODUCE-FILE ANCHOR-FILE: the last line of a figure. FLOOR is no goal but where a regression begins.
report() {
  local name=$1 floor=$2 value anchor
  value=$(median <"$3") anchor=$(median <"$4")
  echo "produce $value MB/s (spread $(spread <"$3")), anchor $anchor MB/s (spread $(spread <"$4")), medians of $(wc -l <"$3")"
  awk -v n="$name" -v p="$value" -v a="$anchor" -v f="$floor" 'BEGIN {
    r = a > 0 ? p / a : 0
    ok = (r >= f)
    printf "%s %.3fx >=%.3fx %s\n", n, r, f, (ok ? "ok" : "short")
    exit !ok }'
}
