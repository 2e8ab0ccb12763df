# Adds up what strace -f -qq wrote of a server under load: per system call its number and, of those that move bytes, how many.
# Calls that strace shows in two parts are joined by their thread. Prints NAME CALLS BYTES, then total CALLS 0.
/<unfinished \.\.\.>$/ { split($0, part, "("); name = part[1]; sub(/.* /, "", name); open[$1] = name; next }
/<\.\.\. [a-z0-9_]+ resumed>/ { name = open[$1]; delete open[$1] }
!/resumed>/ { name = $2; sub(/\(.*/, "", name) }
name !~ /^[a-z0-9_]+$/ { next }
{
  calls[name]++; total++
  if ($0 ~ / = [0-9]+$/ && name ~ /^(p?readv?2?|pread64|recv(from|msg)|p?writev?2?|pwrite64|send(to|msg|file)|splice)$/) bytes[name] += $NF
}
END {
  for (name in calls) printf "%s %d %d\n", name, calls[name], bytes[name]
  printf "total %d 0\n", total
}
