import Glibc
import RDMATransport

// Bandwidth and message rate: as many requests under way as the depth allows.

/// The client's requests, built once and posted again and again, as perftest does.
private struct BenchStream: ~Copyable {
    /// A list without completion, one with, and one that makes the last completion.
    let plain: SendChain
    let signaled: SendChain
    let last: SendChain
    let list: Int
    /// Completions fall on ends of lists: so many lists to each.
    let listsPerSignal: Int
    var listsUntilSignal: Int
    /// Messages in all.
    var total: Int
    var posted = 0
    /// When to end, where no number was asked for.
    let deadline: UInt64?

    init(_ end: borrowing BenchEnd) {
        list = end.parameters.postList
        listsPerSignal = max(1, min(end.parameters.moderation, end.parameters.sendDepth) / list)
        listsUntilSignal = listsPerSignal
        let perSignal = list * listsPerSignal
        let seconds = end.parameters.durationSeconds
        total = seconds == 0 ? end.parameters.messageCount : Int.max
        deadline = seconds == 0 ? nil : monotonicNanoseconds() + UInt64(seconds) * 1_000_000_000
        let rest = end.parameters.messageCount % perSignal
        plain = end.chain(list)
        signaled = end.chain(list, standsFor: perSignal)
        last = end.chain(list, standsFor: rest == 0 ? perSignal : rest)
    }
}

extension BenchEnd {
    /// The client's side: posts until all is done; the messages, and the time from the first to the last completion.
    func runBandwidth() throws(BenchError) -> (messages: Int, seconds: Double) {
        var stream = BenchStream(self)
        var progress = BenchProgress()
        // Gives back the receives that the peer's counts have taken.
        var receives = ReceiveChain(capacity: Self.countReceives)
        let start = monotonicNanoseconds()
        while progress.sends < stream.total {
            let outcome = post(&stream, &progress)
            guard outcome == .posted else { throw Self.refused(outcome) }
            try reap(&progress)
            if progress.receives > 0 {
                for _ in 0..<progress.receives { unsafe receives.append(workID: Self.countID, nil) }
                receives.post(to: queuePair)
                progress.receives = 0
            }
            if let deadline = stream.deadline, stream.total == .max, monotonicNanoseconds() >= deadline {
                let perSignal = stream.list * stream.listsPerSignal
                stream.total = (stream.posted + perSignal - 1) / perSignal * perSignal
            }
        }
        return (stream.total, Double(monotonicNanoseconds() - start) / 1e9)
    }

    /// Posts as many lists as there is room for, here and with the peer.
    private func post(_ stream: inout BenchStream, _ progress: inout BenchProgress) -> PostOutcome {
        let room = parameters.sendDepth &- (stream.posted &- progress.sends)
        var fitting = min(room, stream.total &- stream.posted)
        if parameters.test.isSend {
            // The peer says how many messages it has taken: none may come that it has no receive for.
            let unknown = UInt32(truncatingIfNeeded: stream.posted) &- progress.taken
            fitting = min(fitting, parameters.receiveDepth &- Int(unknown))
        }
        var lists = fitting / stream.list
        guard lists > 0 else { return .posted }
        stream.posted &+= lists &* stream.list
        let endsHere = stream.posted == stream.total && stream.deadline == nil
        if endsHere { lists &-= 1 }
        let outcome = Self.post(
            lists, &stream.listsUntilSignal, stream.listsPerSignal, stream.plain, stream.signaled, to: queuePair)
        guard endsHere, outcome == .posted else { return outcome }
        return stream.last.postAndKeep(to: queuePair)
    }

    /// The loop itself. What it uses is borrowed here, once: reached through another value, it would be copied for each
    /// call.
    @inline(never) private static func post(
        _ lists: Int, _ untilSignal: inout Int, _ listsPerSignal: Int, _ plain: borrowing SendChain,
        _ signaled: borrowing SendChain, to queuePair: borrowing QueuePair
    ) -> PostOutcome {
        for _ in 0..<lists {
            untilSignal &-= 1
            let outcome: PostOutcome
            if untilSignal == 0 {
                untilSignal = listsPerSignal
                outcome = signaled.postAndKeep(to: queuePair)
            } else {
                outcome = plain.postAndKeep(to: queuePair)
            }
            guard outcome == .posted else { return outcome }
        }
        return .posted
    }

    /// The server's side of sends: takes messages, and says how many, until all or the client has gone.
    func takeMessages(_ progress: inout BenchProgress) throws(BenchError) {
        let total = parameters.durationSeconds == 0 ? parameters.messageCount : Int.max
        var count = SendChain(capacity: 1, elementsMax: 1)
        var (taken, owed, announced) = (0, 0, 0)
        // Often enough that the client need not stop, seldom enough to cost nothing.
        let step = max(1, parameters.receiveDepth / 4)
        // Built once, as all go into one place.
        var receives = ReceiveChain(capacity: step)
        while !receives.isFull { unsafe receives.append(workID: Self.receiveID, incoming) }
        while taken < total {
            do throws(BenchError) {
                try reap(&progress)
            } catch  where parameters.durationSeconds > 0 && progress.isPeerGone {
                return
            }
            taken += progress.receives
            owed += progress.receives
            progress.receives = 0
            while owed >= step {
                let outcome = receives.postAndKeep(to: queuePair)
                guard outcome == .posted else { throw Self.refused(outcome) }
                owed -= step
            }
            // Those with a receive again.
            let offered = taken - owed
            guard offered - announced >= step else { continue }
            announced = offered
            unsafe count.append(
                .writeWithImmediate(peerIncoming, UInt32(truncatingIfNeeded: offered)), workID: 1, flags: .signaled)
            let outcome = count.post(to: queuePair)
            guard outcome == .posted else { throw Self.refused(outcome) }
        }
    }
}
