import Glibc
import RDMATransport

// Latency: one message at a time.
extension BenchEnd {
    /// The client's side: microseconds of each message, sorted. Half of a round trip for messages and writes.
    func runLatency() throws(BenchError) -> [Double] {
        var times = [UInt64](repeating: 0, count: parameters.iterations + 1)
        switch parameters.test {
        case .sendLatency: try exchangeSends(&times, isFirst: true)
        case .writeLatency: try exchangeWrites(&times, isFirst: true)
        default: try repeatOneSided(&times)
        }
        let ways = parameters.test.countsBothWays ? 1.0 : 2.0
        return zip(times, times.dropFirst()).map { Double($1 - $0) / 1e3 / ways }.sorted()
    }

    /// The server's side of the tests that need one.
    func answerLatency() throws(BenchError) {
        var times = [UInt64](repeating: 0, count: parameters.iterations + 1)
        if parameters.test == .sendLatency {
            try exchangeSends(&times, isFirst: false)
        } else {
            try exchangeWrites(&times, isFirst: false)
        }
    }

    private func exchangeSends(_ times: inout [UInt64], isFirst: Bool) throws(BenchError) {
        // Sends are signaled now and then only, to free their places.
        let plain = chain(1, isSignaled: false)
        let signaled = chain(1, isSignaled: true)
        let signalEvery = max(1, min(parameters.sendDepth / 2, 64))
        var receives = ReceiveChain(capacity: 1)
        var received = 0
        var sent = 0
        var freed = 0
        times[0] = monotonicNanoseconds()
        for number in 0..<parameters.iterations {
            if isFirst { try post(&sent, plain, signaled, signalEvery) }
            while received == number { _ = try reap(&freed, &received, perSend: 1) }
            unsafe receives.append(workID: 2, incoming)
            receives.post(to: queuePair)
            if !isFirst { try post(&sent, plain, signaled, signalEvery) }
            times[number + 1] = monotonicNanoseconds()
        }
    }

    private func post(
        _ sent: inout Int, _ plain: borrowing SendChain, _ signaled: borrowing SendChain, _ signalEvery: Int
    ) throws(BenchError) {
        sent += 1
        let outcome = sent % signalEvery == 0 ? signaled.postAndKeep(to: queuePair) : plain.postAndKeep(to: queuePair)
        guard outcome == .posted else { throw BenchError("a message was refused: \(outcome)") }
    }

    /// Each side waits for the last byte to change: the device says nothing to the program.
    private func exchangeWrites(_ times: inout [UInt64], isFirst: Bool) throws(BenchError) {
        let last = Self.stride(parameters.size) + parameters.size - 1
        var chain = SendChain(capacity: 1, elementsMax: 1, inlineBytesMax: parameters.inlineBytes)
        let isInline = parameters.size <= parameters.inlineBytes
        var ignored = 0
        times[0] = monotonicNanoseconds()
        for number in 0..<parameters.iterations {
            let mark = UInt8(truncatingIfNeeded: number % 255 + 1)
            if !isFirst { try waitFor(mark, at: last) }
            unsafe memory.bytes[parameters.size - 1] = mark
            if isInline {
                let bytes = unsafe RawSpan(_unsafeBytes: memory.bytes[..<parameters.size])
                chain.append(operation, workID: 1, flags: .signaled, inline: bytes)
            } else {
                unsafe chain.append(operation, workID: 1, flags: .signaled, outgoing)
            }
            guard chain.post(to: queuePair) == .posted else { throw BenchError("a write was refused") }
            if isFirst { try waitFor(mark, at: last) }
            // Its completion, which has long been there or is about to come.
            var done = 0
            while done == 0 { _ = try reap(&done, &ignored, perSend: 1) }
            times[number + 1] = monotonicNanoseconds()
        }
    }

    private func waitFor(_ mark: UInt8, at offset: Int) throws(BenchError) {
        let place = unsafe memory.bytes.baseAddress! + offset
        var turns = 0
        // The device writes it behind the compiler's back: the call keeps the load inside the loop.
        while unsafe benchLoad(place) != mark {
            turns += 1
            if Self.isAlone { sched_yield() }
            guard turns & 0xff_ffff == 0 else { continue }
            guard completions.poll() == 0 else { throw BenchError("the connection failed while waiting for a write") }
        }
    }

    private func repeatOneSided(_ times: inout [UInt64]) throws(BenchError) {
        let request = chain(1, isSignaled: true)
        var ignored = 0
        times[0] = monotonicNanoseconds()
        for number in 0..<parameters.iterations {
            guard request.postAndKeep(to: queuePair) == .posted else { throw BenchError("a request was refused") }
            var done = 0
            while done == 0 { _ = try reap(&done, &ignored, perSend: 1) }
            times[number + 1] = monotonicNanoseconds()
        }
    }
}

@inline(never) private func benchLoad(_ place: UnsafeRawPointer) -> UInt8 { unsafe place.load(as: UInt8.self) }
