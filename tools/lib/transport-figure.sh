# Shared by the transport figures: rdmad bench beside its anchors, in turns, in one guest boot. Sourced.
#
# The anchor is perftest, or ibv_rc_pingpong, in the same mode. Both sides are timed from outside, by the difference of two
# runs of different length, since perftest's own clock often fails in a guest: starting and connecting cancel out. The
# anchor runs before and after ours in each round: its two medians say how steady the machine was. Where they differ by
# more than 3 %, a ratio of times says nothing: then instructions and system calls per message are what counts, and the
# times only have to be within a third. Benchmarks/verbs-loop.c, the same verbs in the same order in C, is reported beside,
# each by its own clock between the first request and the last completion.

address=10.9.0.1
rounds=9

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%.0f%%", (v[NR] - v[1]) / v[int((NR + 1) / 2)] * 100 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f\n", (b > 0 ? a / b : 0) }'; }

# in_guest SCRIPT: builds, and runs SCRIPT --inside RDMAD LOOP beside rxe0.
in_guest() {
  tools/install-dependencies >&2
  swift build -c release --product rdmad >&2
  local programs; programs=$(swift build -c release --show-bin-path)
  cc -O2 -Wall -o "$programs/verbs-loop" Benchmarks/verbs-loop.c -libverbs -lrdmacm
  exec tools/rxe/run --time-limit 400 -- "$1" --inside "$programs/rdmad" "$programs/verbs-loop"
}
# inside ARG...: leaves rdmad, loop and work.
inside() {
  rdmad=$2 loop=$3
  work=$(mktemp -d /dev/shm/rdmad-figure.XXXXXX)
}

# wait_for_port PORT: until something listens on it (perftest's sides meet over TCP).
wait_for_port() {
  local hex; hex=$(printf ':%04X' "$1")
  for _ in $(seq 1000); do
    awk -v h="$hex" '$2 ~ h "$" && $4 == "0A" { found = 1 } END { exit !found }' /proc/net/tcp /proc/net/tcp6 && return
    sleep 0.005
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

# Both sides of a measurement, in two processes.
own_sides() { timeout 60 "$rdmad" bench transport "$@" --loopback --port 18600; }
perftest_sides() {
  local server
  timeout 60 "$@" & server=$!
  if wait_for_port 18515 && timeout 60 "$@" "$address"; then wait "$server"; return; fi
  kill "$server"
  return 1
}
# took COMMAND...: nanoseconds that it took; nothing when it failed.
took() {
  local begin; begin=$(date +%s%N)
  if "$@" >/dev/null 2>&1; then echo $(($(date +%s%N) - begin)); fi
}
# from_outside FEW MANY own|perftest FLAG...: nanoseconds per message by two runs of different length; nothing when one
# failed or noise ate the difference.
from_outside() {
  local few=$1 many=$2 who=$3 short long; shift 3
  short=$(took "${who}_sides" "$@" -n "$few")
  long=$(took "${who}_sides" "$@" -n "$many")
  awk -v n=$((many - few)) -v s="$short" -v l="$long" 'BEGIN { if (s > 0 && l > s) printf "%.1f\n", (l - s) / n }'
}
# Units.
messages_per_s() { awk '{ printf "%.0f\n", 1e9 / $1 }'; }
microseconds_one_way() { awk '{ printf "%.2f\n", $1 / 2000 }'; }
perftest_rate() { local few=$1 many=$2; shift 2; from_outside "$few" "$many" perftest "$@" | messages_per_s; }

# in_turns UNIT FEW MANY FLAG...: fills $work/before, own and after; the anchor is ${perftest[@]}.
in_turns() {
  local unit=$1 few=$2 many=$3; shift 3
  for _ in $(seq "$rounds"); do
    from_outside "$few" "$many" perftest "${perftest[@]}" | "$unit" >>"$work/before"
    from_outside "$few" "$many" own "$@" | "$unit" >>"$work/own"
    from_outside "$few" "$many" perftest "${perftest[@]}" | "$unit" >>"$work/after"
  done
}
# loop_beside rate|latency FLAG...: five rounds with the loop in C, for information.
loop_beside() {
  local kind=$1; shift
  for _ in 1 2 3 4 5; do
    "own_$kind" "$@" >>"$work/own-clock"
    "$loop" "$@" >>"$work/loop"
  done
  echo "beside, by their own clocks: own $(median <"$work/own-clock") (spread $(spread <"$work/own-clock"))," \
    "the loop in C $(median <"$work/loop") (spread $(spread <"$work/loop"))"
}

# Instructions and system calls of the client in user space, of two runs of different length.
instructions() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 | sed -n 's/.*Collected : \([0-9]*\).*/\1/p' | tail -n 1; }
# Left out: giving way on the only processor, whose number is the scheduler's business, and gettimeofday, with which perftest
# measures the processor's clock when it starts, for as long as that takes.
system_calls() { strace -f -qq -e signal=none -e 'trace=!sched_yield,rt_sigreturn,gettimeofday' -o "$work/strace" "$@" >/dev/null; wc -l <"$work/strace"; }
# client_count instructions|system_calls perftest|loop|own N FLAG...
client_count() {
  local what=$1 who=$2 n=$3 server; shift 3
  case $who in
    perftest)
      "$@" -n "$n" >/dev/null 2>&1 & server=$!
      wait_for_port 18515
      "$what" "$@" -n "$n" "$address" ;;
    loop)
      rm -f "$work/server"
      "$loop" "$@" -S -n "$n" >"$work/server" & server=$!
      wait_for_line "$work/server"
      "$what" "$loop" "$@" -C -n "$n" ;;
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

# judge NAME GOAL least|most COUNT-GOAL: the last line, from $work and, on an unsteady machine, from counts.
judge() {
  local name=$1 goal=$2 sense=$3 count_goal=$4 before after own both value self side
  for side in before own after; do
    if [ "$(wc -l <"$work/$side")" -lt $((rounds - 2)) ]; then
      echo "$side: only $(wc -l <"$work/$side") of $rounds rounds gave a number"
      return 2
    fi
  done
  before=$(median <"$work/before") after=$(median <"$work/after") own=$(median <"$work/own")
  both=$(cat "$work/before" "$work/after" | median)
  self=$(ratio "$before" "$after") value=$(ratio "$own" "$both")
  echo "own $own (spread $(spread <"$work/own")); ${perftest[0]} $before before, $after after" \
    "(spread $(cat "$work/before" "$work/after" | spread)); medians of $(wc -l <"$work/own")"
  if awk -v s="$self" 'BEGIN { exit !(s >= 0.97 && s <= 1.03) }'; then
    echo "the anchor against itself: ${self}x: steady"
    verdict "$name" "$value" "$goal" "$sense"
    return
  fi
  echo "the anchor against itself: ${self}x, beyond 3 %: the ratio of times, ${value}x, says little; counting instead"
  counts "$name" "$value" "$sense" "$count_goal"
}
# verdict NAME VALUE GOAL least|most
verdict() {
  awk -v name="$1" -v value="$2" -v goal="$3" -v sense="$4" 'BEGIN {
    ok = (value > 0) && (sense == "least" ? value >= goal : value <= goal)
    printf "%s %.3fx %s%.2fx %s\n", name, value, (sense == "least" ? ">=" : "<="), goal, ok ? "ok" : "short"
    exit !ok }'
}
# counts NAME RATIO-OF-TIMES least|most GOAL: the worst ratio of counts per message, and times within a third. What is
# counted: system calls of ${called[@]} (our flags) against ${perftest_called[@]}, and instructions of ${counted[@]} against
# ${perftest_counted[@]}, unless that is empty. Whole lists: perftest refuses others.
counts() {
  local own anchors worst
  own=$(per_message system_calls own 1600 9600 "${called[@]}")
  anchors=$(per_message system_calls perftest 1600 9600 "${perftest_called[@]}")
  echo "system calls per message: $own, ${perftest_called[0]} $anchors"
  worst=$(ratio "$own" "$anchors")
  if [ ${#perftest_counted[@]} -gt 0 ] && [ "$worst" != 0.000 ]; then
    own=$(per_message instructions own 1600 9600 "${counted[@]}")
    anchors=$(per_message instructions perftest 1600 9600 "${perftest_counted[@]}")
    echo "instructions per message: $own, ${perftest_counted[0]} $anchors"
    worst=$(awk -v a="$worst" -v b="$(ratio "$own" "$anchors")" 'BEGIN { print (b > 0 ? (a > b ? a : b) : 0) }')
  fi
  awk -v name="$1" -v time="$2" -v sense="$3" -v goal="$4" -v worst="$worst" 'BEGIN {
    if (worst <= 0) { print "a count is missing"; exit 2 }
    ok = (worst <= goal) && (sense == "least" ? time >= 0.67 : time <= 1.5)
    printf "%s counts:%.3fx <=%.2fx %s\n", name, worst, goal, (ok ? "ok" : "short")
    exit !ok }'
}
