import Testing

@testable import RDMATransport

/// What a verbs connection counts, without a device.
@Suite struct VerbsLaneTests {
    /// Sequence numbers are 32 bits long and start anew; what is posted around that moment stays apart, in a ring whose
    /// length does not divide 2³² too.
    @Test(arguments: [1, 16, 100, 128]) func sequenceNumbersWrapAround(postedMax: Int) {
        var configuration = FabricConfiguration.client
        configuration.postedMax = postedMax
        let id = ConnectionID(index: 3, generation: 7)
        let first = UInt32.max - UInt32(postedMax / 2)
        let awaited = UnsafeMutablePointer<Int>.allocate(capacity: 1)
        unsafe awaited.initialize(to: 0)
        defer { unsafe awaited.deallocate() }
        var lane = unsafe VerbsLane(
            id: id, state: .established, configuration: configuration, awaited: awaited, firstSequence: first)
        let piece = ScatterGatherElement(address: 4096, byteCount: 8, localKey: 1)
        let remote = RemoteSlice(key: 1, address: 0)
        for token in 0..<UInt64(postedMax) {
            #expect(unsafe lane.transfer(.write(remote), piece, nil, token: token) == .posted)
        }
        #expect(unsafe lane.transfer(.write(remote), piece, nil, token: 1000) == .full)
        var events: [FabricEvent] = []
        unsafe lane.completed(sequence: first &- 1, .success, into: &events)
        unsafe lane.completed(sequence: first &+ UInt32(postedMax), .success, into: &events)
        #expect(events.isEmpty, "numbers that are not under way")
        unsafe lane.completed(sequence: first &+ UInt32(postedMax) &- 1, .flushed, into: &events)
        let outcomes = events.map { event -> (token: UInt64, status: TransferStatus) in
            guard case .completed(id, let token, let status) = event else { return (1000, .success) }
            return (token, status)
        }
        #expect(outcomes.map(\.token) == Array(0..<UInt64(postedMax)))
        #expect(outcomes.dropLast().allSatisfy { $0.status == .success })
        #expect(outcomes.last?.status == .flushed)
        #expect(unsafe lane.isIdle && lane.becameWritable() == false, "no credits yet")
        unsafe lane.adopt(credits: 2, messageBytesMax: 64)
        #expect(unsafe lane.becameWritable())
        #expect(unsafe !lane.becameWritable(), "once")
    }
}
