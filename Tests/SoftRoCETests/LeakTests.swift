import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// What is made and ended again leaves nothing: descriptors, memory, and the kernel's own count of objects.
@Suite(.serialized) struct LeakTests {
    /// The kernel's counts of a device's objects, as `rdma resource show` prints them, such as `qp 1`.
    static func resources(_ device: String = "rxe0") throws -> [String: Int] {
        let words = try SpareDevice.output(["rdma", "resource", "show", device]).split { $0 == " " || $0 == "\n" }
        var counts: [String: Int] = [:]
        for (name, value) in zip(words, words.dropFirst()) {
            if let number = Int(value) { counts[String(name)] = number }
        }
        try expect(counts["qp"] != nil && counts["mr"] != nil, "not understood: \(words)")
        return counts
    }

    static func expectUnchanged(_ before: [String: Int], at location: SourceLocation = #_sourceLocation) throws {
        var now: [String: Int] = [:]
        do {
            try waitUntil("return to \(before)") {
                now = try resources()
                return now == before
            }
        } catch { Issue.record("\(error), but \(now)", sourceLocation: location) }
    }

    /// Connects from the other process, again and again; 10,000 times with RDMAD_TEST_LONG.
    @Test func connectionsLeaveNothing() throws {
        let isLong = ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] != nil
        let count = isLong ? 10_000 : 500
        let process = try VerbsEndsProcess()
        let there = try RemoteManager(process)
        let here = try VerbsManager()
        let listener = try here.listen(rxeHost)
        // The first ones fill caches.
        try serve(here, listener.localPort, there, count: 20)
        let before = (descriptorCount(), try there.perform(.usage), try Self.resources(), residentBytes())
        try serve(here, listener.localPort, there, count: count)
        let usage = try there.perform(.usage)
        #expect(descriptorCount() == before.0)
        #expect(usage.byteCount == before.1.byteCount, "descriptors of the peer")
        #expect(residentBytes() - before.3 < 16 << 20, "\(residentBytes() - before.3) bytes more")
        #expect(Int(usage.workID) - Int(before.1.workID) < 16 << 20, "bytes more in the peer")
        try Self.expectUnchanged(before.2)
    }

    /// Takes so many connections from the peer and sees each end.
    private func serve(_ here: VerbsManager, _ port: UInt16, _ there: RemoteManager, count: Int) throws {
        let done = DispatchSemaphore(value: 0)
        Thread.detachNewThread {
            _ = try? there.perform(.storm(host: rxeHost, port: port, count: count))
            done.signal()
        }
        for _ in 0..<count {
            let request = try #require(try here.await(.connectRequest).request)
            let context = try #require(request.context)
            let queue = try CompletionQueue(context: context, depth: 8)
            let queuePair = try QueuePair(
                QueuePairOptions(depths: .init(send: 2, receive: 2)), on: request,
                in: try ProtectionDomain(context: context), sends: queue, receives: queue)
            try request.accept()
            try here.await(.established)
            try here.await(.disconnected)
            request.disconnect()
            queuePair.close()
            here.drop(request)
        }
        try expect(done.wait(timeout: .now() + 30) == .success, "the peer does not end its storm")
    }

    @Test func queuePairsLeaveNothing() throws {
        let before = (descriptorCount(), try Self.resources())
        for _ in 0..<16 {
            let pair = try VerbsPair(.sameProcess)
            try pair.far.receive(0, 64)
            try pair.near.post(.send, 0, 64)
            try pair.far.success()
        }
        #expect(descriptorCount() == before.0)
        try Self.expectUnchanged(before.1)
    }

    @Test func workThatIsPostedIsNoHindrance() throws {
        let before = try Self.resources()
        for _ in 0..<12 {
            let pair = try VerbsPair(.twoProcesses)
            for number in 0..<8 { try pair.far.receive(number * 64, 64) }
            for _ in 0..<4 { try pair.near.post(.send, 0, 64) }
        }
        try Self.expectUnchanged(before)
    }

    @Test func everyKindOfObjectGoes() throws {
        let before = (descriptorCount(), try Self.resources())
        let during = try everything()
        for (name, least) in ["pd": 1, "cq": 1, "qp": 3, "mr": 1, "ctx": 1, "srq": 1] {
            #expect(during[name, default: 0] >= before.1[name, default: 0] + least, "\(name)")
        }
        #expect(descriptorCount() == before.0)
        try Self.expectUnchanged(before.1)
    }

    private func everything() throws -> [String: Int] {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try CompletionQueue(context: context, depth: 16)
        let shared = try SharedReceiveQueue(depth: 4, in: domain)
        let region = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
        let window = try MemoryWindow(.type2, in: domain)
        let gid = try context.selectGID()
        let way = try AddressHandle(to: gid, localGIDIndex: gid.index, in: domain)
        let depths = QueuePairDepths(send: 1, receive: 1)
        let reliable = try QueuePair(
            QueuePairOptions(depths: depths), in: domain, sends: queue, receives: queue, shared: shared)
        let unreliable = try QueuePair(
            QueuePairOptions(.unreliableConnection, depths: depths), in: domain, sends: queue, receives: queue)
        let datagram = try QueuePair(
            QueuePairOptions(.unreliableDatagram, depths: depths), in: domain, sends: queue, receives: queue)
        let counts = try Self.resources()
        reliable.close()
        unreliable.close()
        datagram.close()
        region.close()
        #expect(window.kind == .type2)
        withExtendedLifetime(way) {}
        return counts
    }

    @Test func registrationsLeaveNothing() throws {
        let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
        let before = (descriptorCount(), try Self.resources())
        let block = try MemoryBlock(byteCount: 1 << 20)
        for _ in 0..<500 { try MemoryRegion(block, access: .localWrite, in: domain).close() }
        #expect(descriptorCount() == before.0 + 1, "the block's")
        try Self.expectUnchanged(before.1)
    }

    @Test func whatFailsLeavesNothing() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try CompletionQueue(context: context, depth: 4)
        let before = (descriptorCount(), try Self.resources())
        var options = QueuePairOptions(depths: .init(send: 1, receive: 1))
        options.sendElementsMax = 100_000
        for _ in 0..<50 {
            #expect(throws: FabricError.self) {
                _ = try QueuePair(options, in: domain, sends: queue, receives: queue).number
            }
            #expect(throws: FabricError.self) { _ = try CompletionQueue(context: context, depth: 1 << 30) }
            #expect(throws: FabricError.self) { _ = try SharedReceiveQueue(depth: 1 << 30, in: domain) }
        }
        #expect(descriptorCount() == before.0)
        try Self.expectUnchanged(before.1)
    }

    /// SIGKILL: the kernel takes back what the other process had.
    @Test func aKilledProcessLeavesNothing() throws {
        _ = try VerbsEndsProcess.common.get()
        let before = try Self.resources()
        let process = try VerbsEndsProcess()
        var pairs: [VerbsPair] = []
        for _ in 0..<4 {
            let pair = try VerbsPair(.twoProcesses, process: process)
            for number in 0..<8 { try pair.far.receive(number * 64, 64) }
            pairs.append(pair)
        }
        #expect(try Self.resources()["qp"]! >= before["qp"]! + 8)
        process.kill()
        pairs.removeAll()
        try Self.expectUnchanged(before)
    }
}
