# Shared by the Kafka figures: rdmad's Kafka door beside Tansu (in memory), by turns, under one load. Sourced.
# shellcheck shell=bash
. tools/lib/broker-figure.sh
. tools/lib/kafka.sh

# on_kafka: leaves rdmad, tansu, sink, load (rdkafka_performance), one (kafka-one-at-a-time), work, and data, where rdmad
# writes.
# The load is the program of Debian's source with the library of confluent-kafka: Debian's own cannot read what Tansu
# answers to its first request. It has tcmalloc: one of its threads frees what another allocated, and with glibc's arenas
# they wait for each other the longer, the faster the server is.
malloc=/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4
on_kafka() {
  kafka_prepare
  [ -e "$malloc" ] || tools/install-kafka tcmalloc >/dev/null
  local source library
  source=$(tools/install-kafka librdkafka) tansu=$(tools/install-kafka tansu)/tansu
  library=$(echo "$(tools/install-kafka python)"/confluent_kafka.libs/librdkafka*)
  work=$(mktemp -d "${TMPDIR:-/tmp}/rdmad-figure.XXXXXX")
  place=${RDMAD_FIGURE_DIR:-/var/tmp}
  data=$(mktemp -d "$place/rdmad-figure.XXXXXX")
  broker=''
  trap 'stop_side; rm -rf "$work" "$data"' EXIT
  load=$work/rdkafka_performance one=$work/kafka-one-at-a-time sink=$work/kafka-sink sink_process=''
  cc -O2 -w -I"$source" -I"$source/src" -o "$load" "$source/examples/rdkafka_performance.c" "$library" \
    -Wl,-rpath,"${library%/*}" -lm
  cc -O2 -Wall -I"$source/src" -o "$one" Benchmarks/kafka-one-at-a-time.c "$library" -Wl,-rpath,"${library%/*}"
  cc -O2 -Wall -o "$sink" Benchmarks/kafka-sink.c -lpthread
  echo "$("$tansu" --version) in memory; $(("$load" 2>&1 || true) | grep -o 'librdkafka version [0-9.]*'); rdmad on $(stat -f -c %T "$place"), $(df --output=source "$place" | tail -n 1)"
}

# start_side tansu|group|none|sink [OPTION...]: a fresh server: Tansu, rdmad with that flush, or a sink (Benchmarks/kafka-sink.c)
# with rdmad behind it.
start_side() {
  local side=$1 left=500 port; shift
  case $side in
  group | none)
    start_kafka "$data/$side" --flush "$side" "$@"
    return ;;
  sink)
    port=$(free_port)
    start_kafka "$data/$side" --flush none --advertised-listener "kafka://127.0.0.1:$port" "$@"
    "$sink" "$port" "${bootstrap##*:}" >"$work/sink.log" &
    sink_process=$! bootstrap=127.0.0.1:$port
    wait_until 20 grep -qs ready "$work/sink.log"
    return ;;
  esac
  bootstrap=127.0.0.1:$(free_port)
  "$tansu" broker --listener-url "tcp://$bootstrap" --advertised-listener-url "tcp://$bootstrap" \
    --storage-engine memory://tansu/ >"$work/tansu.log" 2>&1 &
  broker=$!
  until (exec 3<>"/dev/tcp/${bootstrap/://}") 2>/dev/null; do
    left=$((left - 1)); [ "$left" -gt 0 ] || { echo "Tansu did not start" >&2; return 1; }
    sleep 0.02
  done
}
stop_side() {
  [ -z "$sink_process" ] || { kill "$sink_process" && wait "$sink_process"; } 2>/dev/null || true
  sink_process=''
  stop_kafka
  rm -rf "${data:?}"/*
}

# new_kafka_topic NAME PARTITIONS
new_kafka_topic() {
  PYTHONPATH=$(tools/install-kafka python):Tests/KafkaClients PYTHONDONTWRITEBYTECODE=1 python3 -c '
import sys, confluent
confluent.Admin(sys.argv[1]).create_topic(sys.argv[2], int(sys.argv[3]))' "$bootstrap" "$1" "$2"
}

# cpu_seconds: of the server, so far, with threads that have ended.
cpu_seconds() { sed 's/.*) //' "/proc/$broker/stat" | awk -v hertz="$(getconf CLK_TCK)" '{ printf "%.2f\n", ($12 + $13) / hertz }'; }

# timed COMMAND...: leaves the seconds of processor that it took in $work/load-cpu.
timed() {
  local TIMEFORMAT='%U %S'
  { time timeout 100 "$@" 2>&3; } 3>&2 2>"$work/times" || return
  awk '{ printf "%.3f\n", $1 + $2 }' "$work/times" >"$work/load-cpu"
}

# produce_load TOPIC COUNT BYTES, consume_load TOPIC COUNT PARTITIONS: MB/s by the load's own last line.
produce_load() {
  timed env LD_PRELOAD="$malloc" "$load" -P -b "$bootstrap" -t "$1" -c "$2" -s "$3" -a -1 -q -X linger.ms=5 -X batch.size=1000000 \
    -X batch.num.messages=100000 >"$work/load" 2>&1 || { tail -n 3 "$work/load" >&2; return 1; }
  sed -n 's|.* \([0-9]*\) delivered (.* 0 failed) in .* and \([0-9.]*\) MB/s.*|\1 \2|p' "$work/load" | tail -n 1 | rate_of "$2"
}
consume_load() {
  local partition partitions=()
  for ((partition = 0; partition < $3; partition++)); do partitions+=(-p "$partition"); done
  timed env LD_PRELOAD="$malloc" "$load" -C -b "$bootstrap" -t "$1" -c "$2" -o beginning "${partitions[@]}" -q \
    >"$work/load" 2>&1 || { tail -n 3 "$work/load" >&2; return 1; }
  sed -n 's|^% \([0-9]*\) messages (.*(\([0-9.]*\) MB/s).*|\1 \2|p' "$work/load" | tail -n 1 | rate_of "$2"
}
# Everything must have arrived for a rate to count.
rate_of() {
  local count rate
  read -r count rate || { echo "the load has no last line:" >&2; tail -n 3 "$work/load" >&2; return 1; }
  [ "$count" -ge "$1" ] || { echo "the load moved $count of $1 records" >&2; return 1; }
  echo "$rate"
}

# cell SIDE BYTES PARTITIONS: one round: appends to $work/SIDE-BYTES-PARTITIONS.{produce,consume} MB/s, and to
# {produce,consume}-{cpu,load} seconds of processor per GB, the server's and the load's. Nothing is consumed from a
# sink, nor with only_produce.
only_produce=''
cell() {
  local side=$1 bytes=$2 partitions=$3 count name before rate
  count=$((bytes == 100 ? 2000000 : 400000)) name=$work/$1-$2-$3
  warm_memory
  start_side "$side"
  new_kafka_topic load "$partitions"
  produce_load load 1000 "$bytes" >/dev/null           # connections and files are there
  before=$(cpu_seconds)
  rate=$(produce_load load "$count" "$bytes"); echo "$rate" >>"$name.produce"
  costs produce
  if [ -z "$only_produce" ] && [ "$side" != sink ]; then
    before=$(cpu_seconds)
    rate=$(consume_load load "$count" "$partitions"); echo "$rate" >>"$name.consume"
    costs consume
  fi
  stop_side
}
# costs produce|consume: of the load that has just ended.
costs() {
  per_gigabyte "$(echo "$before $(cpu_seconds)" | awk '{ print $2 - $1 }')" >>"$name.$1-cpu"
  per_gigabyte "$(cat "$work/load-cpu")" >>"$name.$1-load"
}
per_gigabyte() { awk -v t="$1" -v n="$count" -v s="$bytes" 'BEGIN { printf "%.3f\n", t / (n * s / 1e9) }'; }

# cells SIDE...: five rounds of all cells; the sides take turns, another one begins each time.
cells() {
  local round bytes partitions turn sides=("$@")
  for round in 1 2 3 4 5; do
    for bytes in 100 1024; do
      for partitions in 1 4; do
        for ((turn = 0; turn < $#; turn++)); do cell "${sides[(turn + round) % $#]}" "$bytes" "$partitions"; done
      done
    done
  done
}

# beside WHAT SIDE BYTES PARTITIONS GOAL least|most UNIT: prints a cell's medians, and adds how far it is from its goal
# to $work/worst: 1 is the goal itself, more is better for least, worse for most.
beside() {
  local own=$work/$2-$3-$4.$1 theirs=$work/tansu-$3-$4.$1 value
  value=$(ratio "$(median <"$own")" "$(median <"$theirs")")
  echo "$1 $3 B, $4 partitions: rdmad (flush=$2) $(median <"$own") $7 (spread $(spread <"$own")), Tansu $(median <"$theirs")" \
    "(spread $(spread <"$theirs")): ${value}x, goal ${5}x"
  ratio "$value" "$5" >>"$work/worst"
  case $1 in produce | consume) ceiling "${@:1:4}" ;; esac
}
# beside_sink SIDE BYTES PARTITIONS: what a server has that does not look at what it takes, and how near rdmad came.
beside_sink() {
  local most; most=$(median <"$work/sink-$2-$3.produce")
  echo "  a server that only takes the bytes: $most MB/s (spread $(spread <"$work/sink-$2-$3.produce"))," \
    "$(ratio "$most" "$(median <"$work/tansu-$2-$3.produce")")x of Tansu; rdmad (flush=$1) has" \
    "$(ratio "$(median <"$work/$1-$2-$3.produce")" "$most") of it"
}
# ceiling produce|consume SIDE BYTES PARTITIONS: what the load alone leaves: no server can be faster with it on this machine.
ceiling() {
  local own=$work/$2-$3-$4 theirs rate
  theirs=$(median <"$work/tansu-$3-$4.$1")
  rate=$(awk -v n="$(nproc)" -v t="$(median <"$own.$1-load")" 'BEGIN { printf "%.1f", n / t * 1000 }')
  echo "  the load took $(median <"$own.$1-load") s/GB: on $(nproc) processors no server can give it more than $rate MB/s," \
    "$(ratio "$rate" "$theirs")x of Tansu"
}
# worst NAME least|most: the last line.
worst() {
  local value
  value=$(if [ "$2" = least ]; then sort -n "$work/worst"; else sort -rn "$work/worst"; fi | head -n 1)
  verdict "$1" "${value}x-of-goal" "$value" 1 "$2" x
}
