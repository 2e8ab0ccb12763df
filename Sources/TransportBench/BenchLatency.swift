import Glibc
import RDMATransport

// Latency: one message at a time.
extension BenchEnd {
    /// The client's side: microseconds of each message, sorted. Half of a round trip for messages and writes.
    func runLatency() throws(BenchError) -> [Double] {
        var times = [UInt64](repeating: 0, count: parameters.iterations + 1)
        var span = times.mutableSpan
        var progress = BenchProgress()
        switch parameters.test {
        case .sendLatency: try exchangeSends(&span, &progress, isFirst: true)
        case .writeLatency: try exchangeWrites(&span, &progress, isFirst: true)
        default: try repeatOneSided(&span, &progress)
        }
        let ways = parameters.test.countsBothWays ? 1.0 : 2.0
        return zip(times, times.dropFirst()).map { Double($1 - $0) / 1e3 / ways }.sorted()
    }

    /// The server's side of the tests that need one.
    func answerLatency(_ progress: inout BenchProgress) throws(BenchError) {
        var times = [UInt64](repeating: 0, count: parameters.iterations + 1)
        var span = times.mutableSpan
        if parameters.test == .sendLatency {
            try exchangeSends(&span, &progress, isFirst: false)
        } else {
            try exchangeWrites(&span, &progress, isFirst: false)
        }
    }

    @inline(never) private func exchangeSends(
        _ times: inout MutableSpan<UInt64>, _ progress: inout BenchProgress, isFirst: Bool
    ) throws(BenchError) {
        // Sends are signaled now and then only, to free their places.
        let plain = chain(1)
        let signalEvery = max(1, min(parameters.sendDepth / 2, 64))
        let signaled = chain(1, standsFor: signalEvery)
        var receives = ReceiveChain(capacity: 1)
        times[0] = monotonicNanoseconds()
        for number in 1..<times.count {
            let request = number % signalEvery == 0
            if isFirst { try post(request, signaled, plain) }
            while progress.receives == 0 { try reap(&progress) }
            progress.receives -= 1
            unsafe receives.append(workID: Self.receiveID, incoming)
            receives.post(to: queuePair)
            if !isFirst { try post(request, signaled, plain) }
            times[number] = monotonicNanoseconds()
        }
    }

    private func post(
        _ isSignaled: Bool, _ signaled: borrowing SendChain, _ plain: borrowing SendChain
    ) throws(BenchError) {
        let outcome = isSignaled ? signaled.postAndKeep(to: queuePair) : plain.postAndKeep(to: queuePair)
        guard outcome == .posted else { throw Self.refused(outcome) }
    }

    /// Each side waits for the last byte to change: the device says nothing to the program.
    @inline(never) private func exchangeWrites(
        _ times: inout MutableSpan<UInt64>, _ progress: inout BenchProgress, isFirst: Bool
    ) throws(BenchError) {
        let last = Self.stride(parameters.size) + parameters.size - 1
        var chain = SendChain(capacity: 1, elementsMax: 1, inlineBytesMax: parameters.inlineBytes)
        times[0] = monotonicNanoseconds()
        for number in 1..<times.count {
            let mark = UInt8(truncatingIfNeeded: number % 255 + 1)
            if !isFirst { try waitFor(mark, at: last, &progress) }
            unsafe memory.bytes[parameters.size - 1] = mark
            append(to: &chain, workID: 1, flags: .signaled)
            let outcome = chain.post(to: queuePair)
            guard outcome == .posted else { throw Self.refused(outcome) }
            if isFirst { try waitFor(mark, at: last, &progress) }
            // Its completion, which has long been there or is about to come.
            while progress.sends < number { try reap(&progress) }
            times[number] = monotonicNanoseconds()
        }
    }

    private func waitFor(_ mark: UInt8, at offset: Int, _ progress: inout BenchProgress) throws(BenchError) {
        let place = unsafe memory.bytes.baseAddress! + offset
        var turns = 0
        // The device writes it behind the compiler's back: the call keeps the load inside the loop.
        while unsafe benchLoad(place) != mark {
            turns += 1
            if isAlone { sched_yield() }
            guard turns & 0xffff == 0 else { continue }
            lookForPeer(&progress)
            // The end of the connection may overtake the write, so one more look.
            if progress.isPeerGone, unsafe benchLoad(place) != mark { throw Self.peerGone() }
        }
    }

    @inline(never) private func repeatOneSided(
        _ times: inout MutableSpan<UInt64>, _ progress: inout BenchProgress
    ) throws(BenchError) {
        let request = chain(1, standsFor: 1)
        times[0] = monotonicNanoseconds()
        for number in 1..<times.count {
            let outcome = request.postAndKeep(to: queuePair)
            guard outcome == .posted else { throw Self.refused(outcome) }
            while progress.sends < number { try reap(&progress) }
            times[number] = monotonicNanoseconds()
        }
    }
}

@inline(never) private func benchLoad(_ place: UnsafeRawPointer) -> UInt8 { unsafe place.load(as: UInt8.self) }
