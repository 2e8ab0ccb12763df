import Glibc
import RDMATransport

// Bandwidth and message rate: as many requests under way as the depth allows.
extension BenchEnd {
    /// The client's side: posts `iterations` requests; the time from the first to the last completion.
    ///
    /// One completion stands for `moderation` requests, and one doorbell for `postList`. Both chains are built once and
    /// posted again and again, as perftest does.
    func runBandwidth() throws(BenchError) -> Double {
        let list = parameters.postList
        // Signals fall on ends of lists, so the lists between two of them are a whole number.
        let listsPerSignal = max(1, min(parameters.moderation, parameters.sendDepth) / list)
        let perSignal = listsPerSignal * list
        let plain = chain(list, isSignaled: false)
        let signaled = chain(list, isSignaled: true)
        let total = max(perSignal, parameters.iterations / perSignal * perSignal)
        var posted = 0
        var completed = 0
        var receives = 0
        var listsUntilSignal = listsPerSignal
        let start = monotonicNanoseconds()
        while completed < total {
            let room = parameters.sendDepth - list
            while posted < total, posted - completed <= room, !isBehind(posted) {
                listsUntilSignal -= 1
                let outcome: PostOutcome
                if listsUntilSignal == 0 {
                    outcome = signaled.postAndKeep(to: queuePair)
                    listsUntilSignal = listsPerSignal
                } else {
                    outcome = plain.postAndKeep(to: queuePair)
                }
                guard outcome == .posted else { throw BenchError("a request was refused: \(outcome)") }
                posted += list
            }
            _ = try reap(&completed, &receives, perSend: perSignal)
        }
        return Double(monotonicNanoseconds() - start) / 1e9 * Double(parameters.iterations) / Double(total)
    }

    /// True when the peer has no receive for another list: it counts what it took in our memory.
    private func isBehind(_ posted: Int) -> Bool {
        guard parameters.test.isSend else { return false }
        let taken = unsafe memory.bytes.load(fromByteOffset: countOffset, as: UInt64.self)
        return posted - Int(truncatingIfNeeded: taken) > parameters.receiveDepth - parameters.postList
    }

    /// The server's side of sends: takes messages and says how many.
    func takeMessages() throws(BenchError) {
        var count = SendChain(capacity: 1, elementsMax: 1)
        var receives = ReceiveChain(capacity: parameters.receiveDepth)
        var taken = 0
        var announced = 0
        var announcements = 0
        let perSignal =
            max(1, min(parameters.moderation, parameters.sendDepth) / parameters.postList)
            * parameters.postList
        let total = max(perSignal, parameters.iterations / perSignal * perSignal)
        let step = max(1, parameters.receiveDepth / 4)
        while taken < total {
            var arrived = 0
            var done = 0
            _ = try reap(&done, &arrived, perSend: 1)
            announcements -= done
            taken += arrived
            for _ in 0..<arrived where receives.count < receives.capacity {
                unsafe receives.append(workID: 2, incoming)
            }
            if receives.count >= step || taken == total {
                receives.post(to: queuePair)
                guard taken - announced >= step, announcements < 8 else { continue }
                announced = taken
                unsafe memory.bytes.storeBytes(of: UInt64(taken), toByteOffset: countOffset + 8, as: UInt64.self)
                let element = region.element(offset: countOffset + 8, byteCount: 8)
                unsafe count.append(.write(peerCount), workID: 1, flags: .signaled, element)
                count.post(to: queuePair)
                announcements += 1
            }
        }
    }
}
