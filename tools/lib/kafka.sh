# Shared by what tests and measures the Kafka door: the programs, and servers on ports of their own. Sourced.
# shellcheck shell=bash

# kafka_prepare: leaves rdmad, the path of the broker's program (RDMAD_PROGRAM, or a release build of these sources).
kafka_prepare() {
  rdmad=${RDMAD_PROGRAM:-}
  [ -z "$rdmad" ] || return 0
  tools/install-dependencies >&2
  swift build -c release --product rdmad >&2
  rdmad=$(swift build -c release --show-bin-path)/rdmad
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# start_kafka DIRECTORY OPTION...: rdmad with a Kafka door; leaves broker (its process) and bootstrap. Its log is
# $work/serve.log.
start_kafka() {
  local directory=$1 left=1000; shift
  bootstrap=127.0.0.1:$(free_port)
  "$rdmad" serve --data "$directory" --listen "kafka://$bootstrap" --auto-create-topics-enable --num-partitions 4 \
    --group-initial-rebalance-delay-ms 0 "$@" 2>"$work/serve.log" &
  broker=$!
  until grep -qs ' ready$' "$work/serve.log"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] && kill -0 "$broker" 2>/dev/null || { echo "rdmad did not start:"; cat "$work/serve.log"; return 1; } >&2
    sleep 0.02
  done
}
stop_kafka() {
  [ -n "${broker:-}" ] || return 0
  kill "$broker" 2>/dev/null || true
  wait "$broker" || true
  broker=''
}
