import RDMATransport
import Testing
import TransportTestSupport

/// Unreliable connections: sends and writes, without acknowledgements.
@Suite(.serialized) struct UnreliableConnectionTests {
    func pair(_ placement: Placement) throws -> VerbsPair {
        try VerbsPair(placement) { $0.kind = QueuePairKind.unreliableConnection.rawValue }
    }

    @Test(arguments: Placement.allCases) func aMessageArrives(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive(0, 5000)
        try pair.near.fill(0, 5000, seed: 1)
        try pair.near.post(.sendImmediate, 0, 5000) { $0.immediate = 3 }
        try pair.near.success()
        #expect(try pair.far.success().immediate == 3)
        #expect(try pair.far.bytes(0, 5000) == pattern(5000, seed: 1))
    }

    @Test(arguments: Placement.allCases) func aWriteArrives(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.far.receive([])
        try pair.near.fill(0, 3000, seed: 2)
        try pair.near.post(.writeImmediate, 0, 3000) { $0.aim(at: pair.far, 10) }
        try pair.near.success()
        try pair.far.success()
        #expect(try pair.far.bytes(10, 3000) == pattern(3000, seed: 2))
    }

    /// Nobody waits for it, and nobody is told.
    @Test(arguments: Placement.allCases) func aMessageWithoutAReceiveIsLost(_ placement: Placement) throws {
        let pair = try pair(placement)
        try pair.near.fill(0, 8, seed: 3)
        try pair.near.post(.send, 0, 8)
        try pair.near.success()
        try pair.far.receive(0, 8)
        try pair.near.fill(0, 8, seed: 4)
        try pair.near.post(.send, 0, 8)
        try pair.near.success()
        try pair.far.success()
        #expect(try pair.far.bytes(0, 8) == pattern(8, seed: 4))
        #expect(try pair.far.poll() == nil)
    }

    @Test(arguments: Placement.allCases) func readsAreRefused(_ placement: Placement) throws {
        let pair = try pair(placement)
        var read = VerbsPost(.read)
        read.runs = [VerbsRun(0, 8)]
        read.aim(at: pair.far)
        if try pair.near.post([read]) == "posted" {
            #expect(try pair.near.completion().status != 0)
        }
        #expect(try pair.near.bytes(0, 8) == [UInt8](repeating: 0, count: 8))
    }
}
