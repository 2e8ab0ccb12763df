// What the figures log.* measure: the log beside a bare loop that asks the same of the same file system, in turns.
// Usage: log-bench append-durable|append|one-at-a-time|many-partitions DIRECTORY [ROUNDS]
//            per round a line: ours, the bare loop. MB/s (10⁶ bytes), or microseconds of the median for one-at-a-time.
//        log-bench recovery DIRECTORY ROUNDS MEBIBYTES | open DIRECTORY ROUNDS PARTITIONS
//            the same; MB/s, and milliseconds.
//        log-bench count DIRECTORY BATCHES durable|none
//            appends so many batches of 64 records and nothing else, for strace and allocation counts.
import Glibc
import TopicLog

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

do {
    let words = Array(CommandLine.arguments.dropFirst())
    guard words.count >= 2 else { throw Failure("usage: log-bench MEASURE DIRECTORY [ROUNDS]") }
    let place = Place(words[1])
    if words[0] == "count" {
        guard words.count == 4, let batches = Int(words[2]) else {
            throw Failure("usage: log-bench count DIRECTORY BATCHES durable|none")
        }
        _ = try ownLoop(place, batches: batches, isDurable: words[3] == "durable")
    } else if words[0] == "idle" {
        try Start.idle(words[1])
    } else if words[0] == "recovery" || words[0] == "open" {
        guard words.count == 4, let rounds = Int(words[2]), let size = Int(words[3]) else {
            throw Failure("usage: log-bench recovery|open DIRECTORY ROUNDS MEBIBYTES|PARTITIONS")
        }
        if words[0] == "open" {
            try Start.open(place, partitions: size, rounds: rounds)
        } else {
            try Start.recovery(place, mebibytes: size, rounds: rounds)
        }
    } else {
        let rounds = words.count > 2 ? Int(words[2]) ?? 0 : 9
        for round in 0..<rounds {
            let (own, bare) = try measure(words[0], place, isOwnFirst: round % 2 == 0)
            print("\(own) \(bare)")
        }
    }
} catch {
    fatal("log-bench: \(error)\n")
}

func fatal(_ message: String) -> Never {
    _ = unsafe write(2, message, message.utf8.count)
    exit(1)
}

/// One round: short, so that both meet the same weather.
func measure(_ what: String, _ place: Place, isOwnFirst: Bool) throws -> (own: Double, bare: Double) {
    let own: () throws -> Double
    let bare: () throws -> Double
    switch what {
    case "append-durable":
        own = { try ownLoop(place, batches: 1024, isDurable: true) }
        bare = { try bareLoop(place, batches: 1024, isDurable: true) }
    case "append":
        own = { try ownLoop(place, batches: 2048, isDurable: false) }
        bare = { try bareLoop(place, batches: 2048, isDurable: false) }
    case "one-at-a-time":
        own = { try ownSingles(place, count: 100) }
        bare = { try bareSingles(place, count: 100) }
    case "many-partitions":
        own = { try partitionLoop(place, partitions: 256, groups: 4) }
        bare = { try partitionLoop(place, partitions: 1, groups: 4) }
    default: throw Failure("unknown measure \(what)")
    }
    if isOwnFirst {
        let first = try own()
        return (first, try bare())
    }
    let first = try bare()
    return (try own(), first)
}
