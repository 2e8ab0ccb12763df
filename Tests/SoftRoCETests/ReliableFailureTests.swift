import RDMATransport
import Testing
import TransportTestSupport

/// What reliable connections refuse, and how they say it.
@Suite(.serialized) struct ReliableFailureTests {
    typealias Status = WorkCompletion.Status

    /// Posts one request and expects how it ends; the queue pair has failed then.
    func expectFailure(
        _ status: Status, _ pair: VerbsPair, _ operation: VerbsPost.Operation, _ count: Int,
        _ change: (inout VerbsPost) -> Void
    ) throws {
        try pair.near.post(operation, 0, count, change)
        #expect(Status(rawValue: try pair.near.completion().status) == status)
        #expect(try pair.near.state == .error)
    }

    @Test(arguments: Placement.allCases) func aWrongKeyIsRefused(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try expectFailure(.remoteAccess, pair, .write, 8) {
            $0.aim(at: pair.far)
            $0.remoteKey ^= 0x55
        }
        #expect(try pair.far.bytes(0, 8) == [UInt8](repeating: 0, count: 8))
    }

    @Test(arguments: Placement.allCases) func aReadBehindTheEndIsRefused(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try expectFailure(.remoteAccess, pair, .read, 16) { $0.aim(at: pair.far, VerbsEnd.memoryBytes - 8) }
    }

    @Test(arguments: Placement.allCases) func aWriteInFrontOfTheRegionIsRefused(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try expectFailure(.remoteAccess, pair, .write, 16) { $0.aim(at: pair.far, -8) }
    }

    /// A region without remote rights stays closed even to who knows its key.
    @Test(arguments: [VerbsPost.Operation.read, .write, .compareAndSwap]) func noRightsNoAccess(
        _ operation: VerbsPost.Operation
    ) throws {
        let pair = try VerbsPair(.twoProcesses)
        try expectFailure(.remoteAccess, pair, operation, 8) {
            $0.remoteKey = pair.far.about.closedKey
            $0.remoteAddress = pair.far.about.closedAddress
        }
    }

    /// The queue pair's own rights limit what keys allow.
    @Test(arguments: [VerbsPost.Operation.read, .write, .fetchAndAdd]) func theQueuePairLimitsAccess(
        _ operation: VerbsPost.Operation
    ) throws {
        var path = VerbsEndPath()
        path.access = 0
        let pair = try VerbsPair(.twoProcesses, path: path)
        try pair.near.post(operation, 0, 8) { $0.aim(at: pair.far) }
        let status = Status(rawValue: try pair.near.completion().status)
        #expect(status == .remoteInvalidRequest || status == .remoteAccess, "\(status)")
    }

    @Test(arguments: Placement.allCases) func aMessageLongerThanTheReceiveFailsBothEnds(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.receive(0, 99)
        try pair.near.post(.send, 0, 100)
        let farStatus = Status(rawValue: try pair.far.completion().status)
        // rxe calls it a queue pair error.
        #expect(farStatus == .localLength || farStatus == .localQueuePair, "\(farStatus)")
        let status = Status(rawValue: try pair.near.completion().status)
        #expect(status == .remoteInvalidRequest || status == .remoteOperation, "\(status)")
        #expect(try pair.far.state == .error)
    }

    @Test(arguments: Placement.allCases) func aQueuePairThatNobodyHasIsNotReached(_ placement: Placement) throws {
        var path = VerbsEndPath()
        (path.timeoutCode, path.retryCount) = (8, 1)
        let pair = try VerbsPair(placement, path: path)
        try pair.far.perform { .drop(end: $0) }
        try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        #expect(Status(rawValue: try pair.near.completion().status) == .retryExceeded)
    }

    /// Everything posted comes back, in order, without having been done.
    @Test(arguments: Placement.allCases) func theErrorStateFlushesWhatIsPosted(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        for number in 0..<4 { try pair.near.receive(0, 64, workID: UInt64(number)) }
        try pair.near.perform { .move(end: $0, .error) }
        for number in 0..<4 {
            let flushed = try pair.near.completion()
            #expect(flushed.workID == UInt64(number))
            #expect(Status(rawValue: flushed.status) == .flushed)
        }
        // Posting goes on, and comes back at once.
        try pair.near.post(.send, 0, 8) { $0.workID = 44 }
        let flushed = try pair.near.completion()
        #expect(flushed.workID == 44)
        #expect(Status(rawValue: flushed.status) == .flushed)
    }

    @Test func theDeathOfThePeerIsNoticed() throws {
        let process = try VerbsEndsProcess()
        var path = VerbsEndPath()
        (path.timeoutCode, path.retryCount) = (8, 2)
        let pair = try VerbsPair(.twoProcesses, path: path, process: process)
        try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        try pair.near.success()
        process.kill()
        try pair.near.post(.write, 0, 8) { $0.aim(at: pair.far) }
        #expect(Status(rawValue: try pair.near.completion().status) == .retryExceeded)
    }

    /// The kernel answers for a stopped process: only memory is asked for.
    @Test func aStoppedPeersMemoryCanBeRead() throws {
        let process = try VerbsEndsProcess()
        let pair = try VerbsPair(.twoProcesses, process: process)
        try pair.far.fill(0, 100, seed: 7)
        process.signal(19)  // SIGSTOP
        try pair.near.post(.read, 0, 100) { $0.aim(at: pair.far) }
        try pair.near.success()
        #expect(try pair.near.bytes(0, 100) == pattern(100, seed: 7))
        process.signal(18)  // SIGCONT
    }

    @Test func aFullSendQueueSaysSoAndKeepsTheRest() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try CompletionQueue(context: context, depth: 256)
        let queuePair = try QueuePair(
            QueuePairOptions(depths: .init(send: 4, receive: 4)), in: domain, sends: queue, receives: queue)
        try queuePair.initialize()
        let region = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
        var chain = ReceiveChain(capacity: 100)
        for number in 0..<100 {
            unsafe chain.append(workID: UInt64(number), region.element(offset: 0, byteCount: 8))
        }
        #expect(chain.post(to: queuePair) == .queueFull)
        let kept = chain.count
        #expect(kept > 0 && kept < 100)
        queuePair.moveToError()
        let flushed = try nextCompletions(queue, 100 - kept)
        #expect(flushed.map(\.workID) == (0..<UInt64(100 - kept)).map { $0 })
        // What was refused can be posted later.
        #expect(chain.post(to: queuePair) == .queueFull || chain.count == 0)
        chain.removeAll()
        #expect(chain.count == 0)
    }
}
