import RDMATransport
import Testing
import TransportTestSupport

/// A send queue that is drained, and goes on.
@Suite(.serialized) struct QueuePairResumeTests {
    @Test func aDrainedQueuePairResumes() throws {
        let pair = try RegionPair()
        try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        try pair.near.success()
        try pair.end.queuePair.drainSendQueue()
        #expect(try pair.near.state == .sendQueueDrained)
        try pair.end.queuePair.resumeSending()
        #expect(try pair.near.state == .readyToSend)
        try pair.near.fill(0, 100, seed: 6)
        try pair.near.post(.write, 0, 100) { $0.aim(at: pair.far, 64) }
        try pair.near.success()
        #expect(try pair.far.bytes(64, 100) == pattern(100, seed: 6))
    }

    @Test func aDrainedQueuePairStillReceives() throws {
        let pair = try RegionPair()
        try pair.near.receive(0, 4096)
        try pair.end.queuePair.drainSendQueue()
        try pair.far.fill(0, 200, seed: 7)
        try pair.far.post(.send, 0, 200)
        try pair.far.success()
        #expect(try pair.near.success().byteCount == 200)
        #expect(try pair.near.bytes(0, 200) == pattern(200, seed: 7))
    }

    @Test func onlyADrainedQueuePairResumes() throws {
        let pair = try RegionPair()
        pair.end.queuePair.moveToError()
        #expect(throws: FabricError.self) { try pair.end.queuePair.resumeSending() }
        #expect(try pair.near.state == .error)
    }
}
