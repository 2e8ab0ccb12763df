# Shared by the broker figures: rdmad beside a bare loop on the guest, or beside other brokers on this machine, in turns.
# Sourced.

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
# Between the least and the most, in per cent of the median.
spread() { sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%.0f%%", (v[NR] - v[1]) / v[int((NR + 1) / 2)] * 100 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f\n", (b > 0 ? a / b : 0) }'; }

# verdict NAME SHOWN VALUE GOAL least|most UNIT
verdict() {
  awk -v name="$1" -v shown="$2" -v value="$3" -v goal="$4" -v sense="$5" -v unit="$6" 'BEGIN {
    ok = (value > 0) && (sense == "least" ? value >= goal : value <= goal)
    printf "%s %s %s%s%s %s\n", name, shown, (sense == "least" ? ">=" : "<="), goal, unit, ok ? "ok" : "short"
    exit !ok }'
}

# wait_until SECONDS COMMAND...: until it succeeds.
wait_until() {
  local left=$(($1 * 50)); shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || { echo "waited for '$*' in vain" >&2; return 1; }
    sleep 0.02
  done
}

# warm_memory: touches 4 GB, at most half of what is free, and frees them. A hypervisor may have taken free memory back; then
# the first touch of a page costs several times the copy into it, and who pays for it is a matter of chance.
warm_memory() {
  python3 -c '
free = next(int(line.split()[1]) << 10 for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
b"x" * min(4 << 30, free // 2)'
}

# build: leaves rdmad and bench, the paths of the built programs.
build() {
  tools/install-dependencies >&2
  swift build -c release --product rdmad >&2
  swift build -c release --product broker-bench >&2
  programs=$(swift build -c release --show-bin-path)
  rdmad=$programs/rdmad bench=$programs/broker-bench
}

# start_broker URL DIRECTORY OPTION...: leaves its process id in broker; its log is $work/serve.log.
start_broker() {
  local url=$1 directory=$2; shift 2
  export RDMAD_BROKER=$url
  "$rdmad" serve --data "$directory" --listen "$url" "$@" 2>"$work/serve.log" &
  broker=$!
  wait_until 20 grep -qs ' ready$' "$work/serve.log" || { cat "$work/serve.log" >&2; return 1; }
}
stop_broker() {
  [ -n "${broker:-}" ] || return 0
  kill "$broker"
  wait "$broker" || true
  broker=''
}
new_topic() { "$rdmad" topic create "$1" --partitions 1 >/dev/null; }

# On the guest.

# in_guest SCRIPT: builds, and runs SCRIPT --inside RDMAD BENCH LOOP beside rxe0.
in_guest() {
  build
  cc -O2 -Wall -o "$programs/verbs-loop" Benchmarks/verbs-loop.c -libverbs -lrdmacm
  exec tools/rxe/run --memory 4G --time-limit 170 -- "$1" --inside "$rdmad" "$bench" "$programs/verbs-loop"
}
# inside ARG...: leaves rdmad, bench, loop, work, and disk, an ext4 of its own.
inside() {
  rdmad=$2 bench=$3 loop=$4
  url=rdma://10.9.0.1:9440
  work=$(mktemp -d /dev/shm/rdmad-figure.XXXXXX)
  disk=$work/disk
  mkdir "$disk"
  # The guest's memory is the host's only once it was touched. What is measured should not pay for that.
  head -c 2500M /dev/zero >"$work/memory"
  rm "$work/memory"
  truncate -s 2G "$work/image"
  mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$work/image"
  mount -o loop "$work/image" "$disk"
}
# unmet: messages that met no receive on rxe0; counters are some milliseconds old.
unmet() { sleep 0.1; cat /sys/class/infiniband/rxe0/ports/1/hw_counters/rcvd_rnr_err; }
check_unmet() {
  local count; count=$(unmet)
  echo "rcvd_rnr_err: $count"
  [ "$count" = 0 ] || { echo "messages met no receive"; exit 2; }
}
# roce_gid: the index of the GID of rxe0's address, RoCE v2.
roce_gid() {
  local file index
  for file in /sys/class/infiniband/rxe0/ports/1/gids/*; do
    index=${file##*/}
    if grep -q 'ffff:0a09:0001$' "$file" && grep -q v2 "/sys/class/infiniband/rxe0/ports/1/gid_attrs/types/$index"; then
      echo "$index"
      return
    fi
  done 2>/dev/null
}

# Beside other brokers.

# on_host: builds, and leaves work, peers (the client of the others), nats_server, place (where all of them write) and data.
on_host() {
  build
  tools/install-peers >&2
  nats_server=$(tools/install-peers --nats-server)
  work=$(mktemp -d "${TMPDIR:-/tmp}/rdmad-figure.XXXXXX")
  place=${RDMAD_FIGURE_DIR:-/var/tmp}
  data=$(mktemp -d "$place/rdmad-figure.XXXXXX")
  broker='' redis='' nats=''
  trap 'stop_all; rm -rf "$work" "$data"' EXIT
  peers=$work/stream-peers
  cc -O2 -Wall -o "$peers" Benchmarks/stream-peers.c
  url=shm://$work/rdmad.sock
  echo "$("$nats_server" --version); $(redis-server --version | cut -d ' ' -f 1-3); on $(stat -f -c %T "$place")," \
    "$(df --output=source "$place" | tail -n 1)"
}
stop_all() {
  local process
  for process in "$broker" "$redis" "$nats"; do
    [ -z "$process" ] || { kill "$process" 2>/dev/null && wait "$process" 2>/dev/null; } || true
  done
  broker='' redis='' nats=''
}
# start_redis no|always: when its append-only file is synced. Everything else that takes time is off.
start_redis() {
  mkdir -p "$data/redis"
  redis-server --port 0 --unixsocket "$work/redis.sock" --dir "$data/redis" --save '' --appendonly yes \
    --appendfsync "$1" --auto-aof-rewrite-percentage 0 --stream-node-max-bytes 65536 >"$work/redis.log" &
  redis=$!
  wait_until 20 redis-cli -s "$work/redis.sock" ping
}
# start_nats 2m|always: when JetStream syncs.
start_nats() {
  nats_port=$((20000 + RANDOM % 20000))
  cat >"$work/nats.conf" <<END
listen: 127.0.0.1:$nats_port
max_pending: 1GB
write_deadline: "60s"
jetstream { store_dir: "$data/nats", sync_interval: "$1", max_mem: 1GB, max_file: 20GB }
END
  "$nats_server" -c "$work/nats.conf" -l "$work/nats.log" &
  nats=$!
  wait_until 20 grep -qs 'Server is ready' "$work/nats.log"
}

# A round of each: MB/s from the first send to the last record read. NUMBER names the stream.
# end_to_end RECORDS PRODUCED CONSUMED: by the roles' last lines.
end_to_end() {
  awk -v n="$1" -v b="$bytes" 'NR == FNR { begin = $1; next } { end = $2 } END { printf "%.1f\n", n * b / (end - begin) * 1e3 }' \
    <(tail -n 1 "$2") <(tail -n 1 "$3")
}
# both RECORDS CONSUMER... -- PRODUCER...
both() {
  local count=$1 consumer=() process; shift
  while [ "$1" != -- ]; do consumer+=("$1"); shift; done
  shift
  timeout 60 "${consumer[@]}" >"$work/consumed" &
  process=$!
  wait_until 20 grep -q ready "$work/consumed"
  timeout 60 "$@" >"$work/produced"
  wait "$process"
  [ "$count" = 0 ] || end_to_end "$count" "$work/produced" "$work/consumed"
}
own_round() {
  new_topic "own-$1"
  both "$2" "$bench" consume "$url" "own-$1" "$2" $bytes -- "$bench" produce "$url" "own-$1" "$2" $bytes "${own_options[@]}"
  "$rdmad" topic delete "own-$1" >/dev/null
}
redis_round() {
  both "$2" "$peers" redis consume "$work/redis.sock" "redis-$1" "$2" $bytes 1000 -- \
    "$peers" redis produce "$work/redis.sock" "redis-$1" "$2" $bytes "${redis_options[@]}"
  redis-cli -s "$work/redis.sock" del "redis-$1" >/dev/null
}
nats_round() {
  "$peers" nats create "$nats_port" "nats-$1" "${nats_options[1]}"
  both "$2" "$peers" nats consume "$nats_port" "nats-$1" "$2" $bytes "$nats_at_once" -- \
    "$peers" nats produce "$nats_port" "nats-$1" "$2" $bytes "${nats_options[@]}"
  "$peers" nats delete "$nats_port" "nats-$1"
}
# compare NAME GOAL PEER RECORDS PEER-RECORDS: five rounds of both, in turns; the last line by the ratio of the medians.
compare() {
  local name=$1 goal=$2 peer=$3 own theirs round value
  # Not measured: whoever is first finds cold memory.
  own_round warm "$4" >/dev/null
  "${peer}_round" warm "$5" >/dev/null
  for round in 1 2 3 4 5; do
    warm_memory
    own_round "$round" "$4" >>"$work/own-rates"
    warm_memory
    "${peer}_round" "$round" "$5" >>"$work/peer-rates"
  done
  own=$(median <"$work/own-rates") theirs=$(median <"$work/peer-rates")
  echo "rdmad $own MB/s (spread $(spread <"$work/own-rates")), $peer $theirs MB/s (spread $(spread <"$work/peer-rates"));" \
    "medians of $(wc -l <"$work/own-rates")"
  value=$(ratio "$own" "$theirs")
  verdict "$name" "${value}x" "$value" "$goal" least x
}
# What is best for each was tried out: windows, modes, connections, consumers that pull or are pushed to.
# produce's words after BYTES, and of nats what a consumer asks for at once (0: it is pushed to).
bytes=1024
own_options=(262144 8388608) redis_options=(2000) nats_options=(4000 async) nats_at_once=0
