# Shared by the figures of the log: log-bench beside a bare loop, in turns on one file system. Sourced.
# The directory is RDMAD_FIGURE_DIR, or /var/tmp: a disk that others use makes the times say less, so read the spread.

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# Between the quartiles, in per cent of the median.
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%.0f", (v[int((3 * NR + 3) / 4)] - v[int((NR + 3) / 4)]) / v[int((NR + 1) / 2)] * 100 }'; }

# Leaves bench, the path of the built program, place, where it writes, and work, a directory that goes with the script.
prepare() {
  tools/install-dependencies >&2
  swift build -c release --product log-bench >&2
  bench=$(swift build -c release --show-bin-path)/log-bench
  place=${RDMAD_FIGURE_DIR:-/var/tmp}
  work=$(mktemp -d "${TMPDIR:-/tmp}/rdmad-figure.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "on $(stat -f -c %T "$place"), $(df --output=source "$place" | tail -n 1)"
}

# ratio NAME MEASURE UNIT GOAL least|most: rounds of both, one after the other, in changing order; the last line by the
# median of the rounds' ratios.
ratio() {
  local name=$1 measure=$2 unit=$3 goal=$4 sense=$5
  "$bench" "$measure" "$place" 31 >"$work/rounds"
  compare "$name" "$unit" "$goal" "$sense"
}

# start_ratio NAME MEASURE UNIT ROUNDS SIZE GOAL least|most: the same, of opening a data directory of a size.
start_ratio() {
  "$bench" "$2" "$place" "$4" "$5" >"$work/rounds"
  compare "$1" "$3" "$6" "$7"
}

# compare NAME UNIT GOAL least|most: judges $work/rounds.
compare() {
  local name=$1 unit=$2 goal=$3 sense=$4 value
  awk '{ print $1 }' "$work/rounds" >"$work/own"
  awk '{ print $2 }' "$work/rounds" >"$work/bare"
  awk '{ printf "%.3f\n", ($2 > 0 ? $1 / $2 : 0) }' "$work/rounds" >"$work/ratios"
  echo "medians of $(wc -l <"$work/rounds") rounds (spread between the quartiles): ours $(median <"$work/own" | cut -d. -f1) $unit" \
    "($(spread <"$work/own")%), anchor $(median <"$work/bare" | cut -d. -f1) $unit ($(spread <"$work/bare")%);" \
    "their ratios $(spread <"$work/ratios")%"
  value=$(median <"$work/ratios")
  verdict "$name" "${value}x" "$value" "$goal" "$sense" x
}

# verdict NAME SHOWN VALUE GOAL least|most UNIT
verdict() {
  awk -v name="$1" -v shown="$2" -v value="$3" -v goal="$4" -v sense="$5" -v unit="$6" 'BEGIN {
    ok = (value > 0) && (sense == "least" ? value >= goal : value <= goal)
    printf "%s %s %s%s%s %s\n", name, shown, (sense == "least" ? ">=" : "<="), goal, unit, ok ? "ok" : "short"
    exit !ok }'
}

# per_record COMMAND...: how much more `COMMAND BATCHES` says for more batches, by record; a batch is 64 records.
few=1024 many=5120
per_record() {
  local short long
  short=$("$@" "$few") long=$("$@" "$many")
  awk -v d=$((long - short)) -v n=$(((many - few) * 64)) 'BEGIN { printf "%.6f\n", d / n }'
}
