# Shared by the transport figures: rdmad bench beside its anchors, in turns, in one guest boot. Sourced.
#
# The anchor is Benchmarks/verbs-loop.c: the same verbs in the same order, in C; both say what their own clock saw between
# the first request and the last completion. perftest is reported beside it, timed from outside by two runs of different
# length, since its own clock often fails in a guest. The anchor runs before and after ours in each round: its two medians
# say how steady the machine was. Where they differ by more than 3 %, a ratio of times says nothing: then instructions
# (against perftest) and system calls (against the anchor) per message are what counts, and the times only have to be
# within a third.

address=10.9.0.1
rounds=9

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%.0f%%", (v[NR] - v[1]) / v[int((NR + 1) / 2)] * 100 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f\n", (b > 0 ? a / b : 0) }'; }

# in_guest SCRIPT: builds, and runs SCRIPT --inside RDMAD ANCHOR beside rxe0.
in_guest() {
  tools/install-dependencies >&2
  swift build -c release --product rdmad >&2
  local programs; programs=$(swift build -c release --show-bin-path)
  cc -O2 -Wall -o "$programs/verbs-loop" Benchmarks/verbs-loop.c -libverbs -lrdmacm
  exec tools/rxe/run --time-limit 200 -- "$1" --inside "$programs/rdmad" "$programs/verbs-loop"
}
# inside ARG...: leaves rdmad, anchor and work.
inside() {
  rdmad=$2 anchor=$3
  work=$(mktemp -d /dev/shm/rdmad-figure.XXXXXX)
}

# wait_for_port PORT: until something listens on it (perftest's sides meet over TCP).
wait_for_port() {
  local hex; hex=$(printf ':%04X' "$1")
  for _ in $(seq 200); do
    awk -v h="$hex" '$2 ~ h "$" && $4 == "0A" { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 && return
    sleep 0.05
  done
  echo "nothing listens on port $1" >&2
  return 1
}
# wait_for_line FILE: until a server has said that it waits.
wait_for_line() {
  for _ in $(seq 200); do [ -s "$1" ] && return; sleep 0.05; done
  echo "a server did not start" >&2
  return 1
}

# field NAME: a number of the bench's JSON.
field() { sed -n "s/.*\"$1\": \\([0-9.]*\\).*/\\1/p"; }
own_rate() { "$rdmad" bench transport "$@" --loopback --port 18600 --json | field messages_per_s; }
own_latency() { "$rdmad" bench transport "$@" --loopback --port 18600 --json | field median_us; }

# in_turns KIND FLAG...: fills $work/before, own and after.
in_turns() {
  local kind=$1; shift
  for _ in $(seq "$rounds"); do
    "$anchor" "$@" >>"$work/before"
    "own_$kind" "$@" >>"$work/own"
    "$anchor" "$@" >>"$work/after"
  done
}

# perftest_rate FEW MANY PROGRAM [FLAG...]: messages per second, seen from outside; nothing when noise ate the difference.
perftest_once() {
  local begin; begin=$(date +%s%N)
  timeout 40 "$@" >/dev/null 2>&1 &
  wait_for_port 18515
  timeout 40 "$@" "$address" >/dev/null 2>&1
  wait $! || true
  echo $(($(date +%s%N) - begin))
}
perftest_rate() {
  local few=$1 many=$2 short long; shift 2
  short=$(perftest_once "$@" -n "$few")
  long=$(perftest_once "$@" -n "$many")
  awk -v n=$((many - few)) -v t=$((long - short)) 'BEGIN { if (t > 0) printf "%.0f\n", n / t * 1e9 }'
}
# perftest_beside FEW MANY PROGRAM [FLAG...]: three rounds, for information.
perftest_beside() {
  for _ in 1 2 3; do perftest_rate "$@" >>"$work/perftest"; done
  echo "beside, ${*:3}: $(median <"$work/perftest") messages/s (spread $(spread <"$work/perftest")), from outside"
}

# Instructions and system calls of the client in user space, of two runs of different length.
instructions() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p' | tail -n 1; }
# Giving way on the only processor is left out: how often is the scheduler's business.
system_calls() { strace -f -qq -e signal=none -e 'trace=!sched_yield,rt_sigreturn' -o "$work/strace" "$@" >/dev/null; wc -l <"$work/strace"; }
# client_count instructions|system_calls perftest|anchor|own N FLAG...
client_count() {
  local what=$1 who=$2 n=$3 server; shift 3
  case $who in
    perftest)
      "$@" -n "$n" >/dev/null 2>&1 & server=$!
      wait_for_port 18515
      "$what" "$@" -n "$n" "$address" ;;
    anchor)
      rm -f "$work/server"
      "$anchor" "$@" -S -n "$n" >"$work/server" & server=$!
      wait_for_line "$work/server"
      "$what" "$anchor" "$@" -C -n "$n" ;;
    own)
      rm -f "$work/server"
      "$rdmad" bench transport "$@" -n "$n" --port 18600 --bind "$address" >"$work/server" & server=$!
      wait_for_line "$work/server"
      "$what" "$rdmad" bench transport "$@" -n "$n" --port 18600 "$address" ;;
  esac
  wait "$server" || true
}
# per_message WHAT WHO FEW MANY FLAG...: the difference of two runs, divided.
per_message() {
  local what=$1 who=$2 few=$3 many=$4 short long; shift 4
  short=$(client_count "$what" "$who" "$few" "$@")
  long=$(client_count "$what" "$who" "$many" "$@")
  awk -v d=$((long - short)) -v n=$((many - few)) 'BEGIN { printf "%.3f\n", d / n }'
}

# judge NAME GOAL least|most KIND: the last line, from $work and, on an unsteady machine, from the counts of
# ${counted[@]} (our flags) and ${perftest[@]} (its command line in the same mode; empty: system calls only).
judge() {
  local name=$1 goal=$2 sense=$3 before after own both value self
  before=$(median <"$work/before") after=$(median <"$work/after") own=$(median <"$work/own")
  both=$(cat "$work/before" "$work/after" | median)
  self=$(ratio "$before" "$after") value=$(ratio "$own" "$both")
  echo "own $own (spread $(spread <"$work/own")); anchor $before before, $after after" \
    "(spread $(cat "$work/before" "$work/after" | spread)); medians of $(wc -l <"$work/own")"
  if awk -v s="$self" 'BEGIN { exit !(s >= 0.97 && s <= 1.03) }'; then
    echo "the anchor against itself: ${self}x: steady"
    verdict "$name" "$value" "$goal" "$sense"
    return
  fi
  echo "the anchor against itself: ${self}x, beyond 3 %: the ratio of times, ${value}x, says little; counting instead"
  counts "$name" "$value" "$sense"
}
# verdict NAME VALUE GOAL least|most
verdict() {
  awk -v name="$1" -v value="$2" -v goal="$3" -v sense="$4" 'BEGIN {
    ok = (value > 0) && (sense == "least" ? value >= goal : value <= goal)
    printf "%s %.3fx %s%.2fx %s\n", name, value, (sense == "least" ? ">=" : "<="), goal, ok ? "ok" : "short"
    exit !ok }'
}
# counts NAME RATIO-OF-TIMES least|most: the worse of two ratios of counts, at most 1.02. Whole lists: perftest refuses others.
counts() {
  local instructions=1 anchors=1 calls anchor_calls
  if [ ${#perftest[@]} -gt 0 ]; then
    instructions=$(per_message instructions own 1600 9600 "${counted[@]}")
    anchors=$(per_message instructions perftest 1600 9600 "${perftest[@]}")
    echo "instructions per message: $instructions, ${perftest[0]} $anchors"
  fi
  calls=$(per_message system_calls own 1600 9600 "${counted[@]}")
  anchor_calls=$(per_message system_calls anchor 1600 9600 "${counted[@]}")
  echo "system calls per message: $calls, anchor $anchor_calls"
  awk -v name="$1" -v time="$2" -v sense="$3" -v i="$instructions" -v pi="$anchors" -v c="$calls" -v ac="$anchor_calls" '
    BEGIN {
      if (i <= 0 || pi <= 0 || c <= 0 || ac <= 0) { print "a count is missing"; exit 2 }
      worst = (i / pi > c / ac) ? i / pi : c / ac
      ok = (worst <= 1.02) && (sense == "least" ? time >= 0.67 : time <= 1.5)
      printf "%s counts:%.3fx <=1.02x %s\n", name, worst, (ok ? "ok" : "short")
      exit !ok }'
}
