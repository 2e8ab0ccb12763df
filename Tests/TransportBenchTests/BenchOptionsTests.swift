import Testing
import TransportBench

/// What can be asked for.
@Suite struct BenchOptionsTests {
    @Test func defaultsArePerftests() {
        let options = BenchOptions()
        #expect(options.problem() == nil)
        #expect(options.iterations == 1000 && options.sendDepth == 128 && options.receiveDepth == 512)
        #expect(options.moderation == 100 && options.postList == 1 && options.port == 18515)
        #expect(options.sizes(of: .sendBandwidth) == [65536] && options.sizes(of: .readLatency) == [2])
        #expect(BenchOptions.allSizes.first == 2 && BenchOptions.allSizes.last == 8_388_608)
    }

    @Test func subjects() {
        #expect(BenchSubject.write.tests == [.writeBandwidth, .writeLatency])
        #expect(BenchSubject.atomicLatency.tests == [.atomicLatency])
        #expect(BenchSubject.allCases.allSatisfy { !$0.tests.isEmpty })
        #expect(BenchTest.allCases.allSatisfy { test in BenchSubject(rawValue: test.rawValue)?.tests == [test] })
    }

    /// Atomics are of eight bytes, whatever is asked for.
    @Test func atomicsHaveOneSize() {
        var options = BenchOptions()
        options.sizes = BenchOptions.allSizes
        #expect(options.sizes(of: .atomicBandwidth) == [8])
        #expect(options.sizes(of: .writeLatency) == BenchOptions.allSizes)
    }

    @Test func latenciesAreLatencies() {
        for test in BenchTest.allCases { #expect(test.isLatency == test.rawValue.hasSuffix("-lat")) }
    }

    @Test func problems() {
        func problem(_ change: (inout BenchOptions) -> Void) -> String? {
            var options = BenchOptions()
            change(&options)
            return options.problem()
        }
        #expect(problem { $0.sizes = [0] } != nil)
        #expect(problem { $0.sizes = [64, 2 << 30] } != nil)
        #expect(problem { $0.iterations = 4 } != nil)
        #expect(problem { $0.iterations = .max } != nil)
        #expect(problem { $0.sendDepth = 0 } != nil)
        #expect(problem { $0.sendDepth = 100_000 } != nil)
        #expect(problem { $0.receiveDepth = 1 } != nil)
        #expect(problem { $0.postList = 129 }?.contains("the depth") == true)
        #expect(problem { $0.moderation = 0 } != nil)
        #expect(problem { $0.inlineBytes = 5000 } != nil)
        // A list that the receiver could never take whole would wait for ever.
        #expect(problem { ($0.receiveDepth, $0.postList) = (64, 64) }?.contains("receive depth of 128") == true)
        #expect(problem { ($0.receiveDepth, $0.postList, $0.tests) = (64, 64, [.writeBandwidth]) } == nil)
        #expect(problem { $0.durationSeconds = 5 } == nil)
        #expect(problem { ($0.durationSeconds, $0.tests) = (5, [.sendLatency]) }?.contains("latencies") == true)
        #expect(problem { $0.durationSeconds = 5000 } != nil)
    }
}
