/// What is measured: perftest's names.
package enum BenchTest: String, CaseIterable, Sendable {
    case sendBandwidth = "send-bw"
    case writeBandwidth = "write-bw"
    case readBandwidth = "read-bw"
    case atomicBandwidth = "atomic-bw"
    case sendLatency = "send-lat"
    case writeLatency = "write-lat"
    case readLatency = "read-lat"
    case atomicLatency = "atomic-lat"

    // Not by the names: the loops ask, and strings count references.
    package var isLatency: Bool {
        switch self {
        case .sendLatency, .writeLatency, .readLatency, .atomicLatency: true
        default: false
        }
    }
    var isAtomic: Bool { self == .atomicBandwidth || self == .atomicLatency }
    var isSend: Bool { self == .sendBandwidth || self == .sendLatency }
    /// Operations that the client's device asks for and the server's answers: the server's program sleeps.
    var isOneSided: Bool { !isSend && self != .writeLatency }
    /// What a latency is of: a message and its answer are two ways, a read and its data are one operation.
    var countsBothWays: Bool { self == .readLatency || self == .atomicLatency }
}

/// What the command is asked for: one measure, or both of a verb.
package enum BenchSubject: String, CaseIterable, Sendable {
    case send, write, read, atomic
    case sendBandwidth = "send-bw"
    case writeBandwidth = "write-bw"
    case readBandwidth = "read-bw"
    case atomicBandwidth = "atomic-bw"
    case sendLatency = "send-lat"
    case writeLatency = "write-lat"
    case readLatency = "read-lat"
    case atomicLatency = "atomic-lat"

    /// Bandwidth first.
    package var tests: [BenchTest] {
        BenchTest.allCases.filter { $0.rawValue == rawValue || $0.rawValue.hasPrefix(rawValue + "-") }
    }
}

/// How it is measured. perftest's names and defaults; sizes in bytes.
package struct BenchOptions: Sendable {
    package var tests = [BenchTest.sendBandwidth]
    /// Bytes of each message; empty: what each test takes by default.
    package var sizes: [Int] = []
    /// Messages per size.
    package var iterations = 1000
    /// Seconds of each size instead, when not 0; of bandwidths only.
    package var durationSeconds = 0
    /// Requests under way.
    package var sendDepth = 128
    /// Receives posted.
    package var receiveDepth = 512
    /// Requests per completion.
    package var moderation = 100
    /// Requests per doorbell.
    package var postList = 1
    /// Messages up to so many bytes travel in the request.
    package var inlineBytes = 0
    /// Sleep for completions instead of polling for them.
    package var usesEvents = false
    package var port: UInt16 = 18515
    /// The device that must be used; nil: any.
    package var device: String?
    package init() {}

    /// What `-a` means: every power of two, up to 8 MiB as perftest has it.
    package static let allSizes = (1...23).map { 1 << $0 }

    /// The sizes of one test; atomics have one only.
    package func sizes(of test: BenchTest) -> [Int] {
        if test.isAtomic { return [8] }
        return sizes.isEmpty ? [test.isLatency ? 2 : 65536] : sizes
    }

    /// Says what is wrong with the numbers, or nil.
    package func problem() -> String? {
        if let size = sizes.first(where: { $0 < 1 || $0 > 1 << 30 }) {
            return "a size of \(size) bytes is not 1...2^30"
        }
        if iterations < 5 || iterations > 100_000_000 { return "\(iterations) iterations are not 5...100000000" }
        // Each of them is kept, on both sides.
        if iterations > 10_000_000, tests.contains(where: \.isLatency) {
            return "\(iterations) iterations are more than 10000000, the most of which each time is kept"
        }
        if durationSeconds < 0 || durationSeconds > 3600 { return "\(durationSeconds) seconds are not 0...3600" }
        if durationSeconds > 0, tests.contains(where: \.isLatency) {
            return "latencies take iterations, not a duration"
        }
        if sendDepth < 1 || sendDepth > 16384 { return "a depth of \(sendDepth) is not 1...16384" }
        if receiveDepth < 2 || receiveDepth > 16384 { return "a receive depth of \(receiveDepth) is not 2...16384" }
        if postList < 1 || postList > sendDepth { return "a list of \(postList) is not 1...\(sendDepth), the depth" }
        if tests.contains(.sendBandwidth), postList > receiveDepth / 2 {
            return "a list of \(postList) needs a receive depth of \(2 * postList) at least, not \(receiveDepth)"
        }
        if moderation < 1 { return "one completion for \(moderation) requests makes no sense" }
        if inlineBytes < 0 || inlineBytes > 4096 { return "\(inlineBytes) inline bytes are not 0...4096" }
        return nil
    }
}

/// What one size gave.
package struct BenchResult: Sendable {
    package var test: BenchTest
    package var byteCount: Int
    package var iterations: Int
    /// Of a bandwidth: seconds from the first request to the last completion.
    package var seconds = 0.0
    /// Of a latency: microseconds of each message, sorted.
    package var microseconds: [Double] = []

    /// 2²⁰ bytes per second, as perftest has it.
    package var mebibytesPerSecond: Double { Double(byteCount) * Double(iterations) / seconds / 1_048_576 }
    /// Millions of messages per second.
    package var messageRate: Double { Double(iterations) / seconds / 1e6 }
    /// Microseconds below which a share of the messages was; the nearest rank.
    package func percentile(_ share: Double) -> Double {
        guard !microseconds.isEmpty else { return 0 }
        let rank = Int((share * Double(microseconds.count)).rounded(.up))
        return microseconds[min(max(rank, 1), microseconds.count) - 1]
    }
    package var mean: Double { microseconds.reduce(0, +) / Double(max(1, microseconds.count)) }
    package var standardDeviation: Double {
        guard microseconds.count > 1 else { return 0 }
        let mean = mean
        let squares = microseconds.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (squares / Double(microseconds.count - 1)).squareRoot()
    }
    package init(test: BenchTest, byteCount: Int, iterations: Int) {
        self.test = test
        self.byteCount = byteCount
        self.iterations = iterations
    }
}

/// Why a measurement did not come about.
package struct BenchError: Error, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
