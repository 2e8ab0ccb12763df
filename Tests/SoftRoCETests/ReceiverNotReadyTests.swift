import RDMATransport
import Testing
import TransportTestSupport

/// Messages that meet no receive. On a device of their own: rxe0's counter of them must stay 0.
@Suite(.serialized) struct ReceiverNotReadyTests {
    static let device = Result { try SpareDevice(41) }

    static func pair(retries: UInt8, timer: UInt8 = 12) throws -> (VerbsPair, SpareDevice) {
        let device = try Self.device.get()
        var path = VerbsEndPath()
        path.receiverNotReadyRetryCount = retries
        path.receiverNotReadyTimerCode = timer
        return (try VerbsPair(.twoProcesses, path: path) { $0.device = device.name }, device)
    }

    /// The retry finds the receive that came late.
    @Test func aLateReceiveIsFound() throws {
        let (pair, device) = try Self.pair(retries: 7, timer: 8)
        let before = try device.counter("rcvd_rnr_err")
        try pair.near.fill(0, 100, seed: 2)
        try pair.near.post(.send, 0, 100)
        try waitUntil("refusal") { try device.counter("rcvd_rnr_err") > before }
        #expect(try pair.near.poll() == nil)
        try pair.far.receive(0, 4096)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 100)
        #expect(try pair.far.bytes(0, 100) == pattern(100, seed: 2))
    }

    @Test func withoutRetriesTheQueuePairFails() throws {
        let (pair, device) = try Self.pair(retries: 0)
        let before = try device.counter("retry_rnr_exceeded_err")
        try pair.near.post(.send, 0, 100)
        let status = WorkCompletion.Status(rawValue: try pair.near.completion().status)
        #expect(status == .receiverNotReadyRetryExceeded, "\(status)")
        try waitUntil("count") { try device.counter("retry_rnr_exceeded_err") > before }
        #expect(try pair.near.state == .error)
        #expect(try pair.far.poll() == nil)
    }

    @Test func retriesAreCounted() throws {
        let (pair, device) = try Self.pair(retries: 3, timer: 1)
        let before = try device.counter("send_rnr_err")
        try pair.near.post(.send, 0, 100)
        let status = WorkCompletion.Status(rawValue: try pair.near.completion().status)
        #expect(status == .receiverNotReadyRetryExceeded, "\(status)")
        try waitUntil("count of the first and three more") { try device.counter("send_rnr_err") - before >= 4 }
    }

    /// A write with immediate needs a receive as well; a plain one does not.
    @Test func onlyWritesWithImmediateNeedAReceive() throws {
        let (pair, _) = try Self.pair(retries: 0)
        try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        try pair.near.success()
        try pair.near.post(.writeImmediate, 0, 8) { $0.aim(at: pair.far) }
        let status = WorkCompletion.Status(rawValue: try pair.near.completion().status)
        #expect(status == .receiverNotReadyRetryExceeded, "\(status)")
    }

    @Test func theTimerIsSetOnALiveConnection() throws {
        let pair = try RegionPair()
        try pair.end.queuePair.setReceiverNotReadyTimer(code: 5)
        #expect(try pair.end.queuePair.attributes().receiverNotReadyTimerCode == 5)
        #expect(try pair.near.state == .readyToSend)
    }
}
