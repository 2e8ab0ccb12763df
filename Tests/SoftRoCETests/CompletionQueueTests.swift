import RDMATransport
import Testing
import TransportTestSupport

/// Completion queues, their events, and extended polling.
@Suite(.serialized) struct CompletionQueueTests {
    @Test(arguments: Placement.allCases) func anArmedQueueMakesOneEvent(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        for _ in 0..<3 { try pair.far.receive(0, 100) }
        try pair.far.perform { .arm(end: $0, solicitedOnly: false) }
        #expect(try !pair.far.perform { .completionEvent(end: $0, milliseconds: 0) }.isFound)
        for _ in 0..<3 {
            try pair.near.post(.send, 0, 8)
            try pair.near.success()
        }
        let event = try pair.far.perform { .completionEvent(end: $0, milliseconds: 10_000) }
        #expect(event.isFound)
        #expect(event.byteCount == 1, "one event for three completions")
        for _ in 0..<3 { try pair.far.success() }
    }

    @Test(arguments: Placement.allCases) func aQueueThatIsNotArmedMakesNone(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        try pair.far.receive(0, 100)
        try pair.near.post(.send, 0, 8)
        try pair.near.success()
        try pair.far.success()
        #expect(try !pair.far.perform { .completionEvent(end: $0, milliseconds: 0) }.isFound)
    }

    @Test(arguments: Placement.allCases) func onlySolicitedMessagesWakeWhoAskedSo(_ placement: Placement) throws {
        let pair = try VerbsPair(placement)
        for _ in 0..<2 { try pair.far.receive(0, 100) }
        try pair.far.perform { .arm(end: $0, solicitedOnly: true) }
        try pair.near.post(.send, 0, 8)
        try pair.near.success()
        try pair.far.success()
        #expect(try !pair.far.perform { .completionEvent(end: $0, milliseconds: 0) }.isFound)
        try pair.near.post(.send, 0, 8) { $0.flags = SendFlags([.signaled, .solicited]).rawValue }
        try pair.near.success()
        #expect(try pair.far.perform { .completionEvent(end: $0, milliseconds: 10_000) }.isFound)
    }

    @Test func aPollTakesAtMostABatch() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try CompletionQueue(context: context, depth: 128)
        let queuePair = try QueuePair(
            QueuePairOptions(depths: .init(send: 1, receive: 64)), in: domain, sends: queue, receives: queue)
        try queuePair.initialize()
        var chain = ReceiveChain(capacity: 64)
        for number in 0..<64 { unsafe chain.append(workID: UInt64(number), nil) }
        #expect(chain.post(to: queuePair) == .posted)
        #expect(queue.poll() == 0)
        queuePair.moveToError()
        var count = 0
        while count == 0 { count = queue.poll() }
        #expect(count == CompletionQueue.batchMax)
        #expect(queue[0].workID == 0)
        #expect(queue[31].workID == 31)
        #expect(queue[31].status == .flushed)
        #expect(queue.poll() == 32)
        #expect(queue[31].workID == 63)
        #expect(queue.poll() == 0)
    }

    /// Of a failed completion most fields mean nothing: reading them traps.
    @Test func aFailedCompletionHasNoByteCount() async {
        await #expect(processExitsWith: .failure) {
            let pair = try VerbsPair(.sameProcess)
            _ = pair
            let context = try DeviceContext(name: "rxe0")
            let queue = try CompletionQueue(context: context, depth: 16)
            let queuePair = try QueuePair(
                QueuePairOptions(depths: .init(send: 1, receive: 1)), in: try ProtectionDomain(context: context),
                sends: queue, receives: queue)
            try queuePair.initialize()
            var chain = ReceiveChain(capacity: 1)
            unsafe chain.append(workID: 1, nil)
            _ = chain.post(to: queuePair)
            queuePair.moveToError()
            _ = try nextCompletions(queue, 1)[0].byteCount
        }
    }

    @Test func moderationIsOfferedOrUnsupported() throws {
        let queue = try CompletionQueue(context: try DeviceContext(name: "rxe0"), depth: 16)
        do {
            try queue.moderate(count: 4, microseconds: 10)
        } catch {
            #expect(error.code == .unsupported, "\(error)")
            #expect(error.description.contains("rxe0"))
            print("not on rxe0: completion moderation")
        }
    }

    @Test func aDepthThatNoDeviceHasIsRefused() throws {
        let context = try DeviceContext(name: "rxe0")
        let depth = try context.attributes().completionsMax + 1
        let error = #expect(throws: FabricError.self) { try CompletionQueue(context: context, depth: depth) }
        #expect(error?.description.contains("\(depth) entries on rxe0") == true)
    }

    // MARK: Extended polling

    static let fields: CompletionFields = [.byteCount, .immediate, .queuePair]

    @Test(arguments: Placement.allCases) func extendedPollingReadsItsFields(_ placement: Placement) throws {
        let pair = try VerbsPair(placement) { $0.completionFields = Self.fields.rawValue }
        try pair.far.receive(0, 100, workID: 3)
        try pair.near.post(.sendImmediate, 0, 60) {
            $0.immediate = 12
            $0.workID = 4
        }
        #expect(try pair.near.success(4).operation == WorkCompletion.Operation.send.rawValue)
        let arrived = try pair.far.success(3)
        #expect(arrived.byteCount == 60)
        #expect(arrived.immediate == 12)
        #expect(arrived.queuePair == pair.far.about.queuePair)
        #expect(arrived.operation == WorkCompletion.Operation.receive.rawValue)
    }

    @Test(arguments: Placement.allCases) func extendedPollingReportsFailures(_ placement: Placement) throws {
        let pair = try VerbsPair(placement) { $0.completionFields = Self.fields.rawValue }
        try pair.near.post(.write, 0, 8) {
            $0.aim(at: pair.far)
            $0.remoteKey ^= 1
            $0.workID = 6
        }
        let failed = try pair.near.completion()
        #expect(failed.workID == 6)
        #expect(WorkCompletion.Status(rawValue: failed.status) == .remoteAccess)
    }

    @Test(arguments: Placement.allCases) func extendedPollingTakesManyInOrder(_ placement: Placement) throws {
        let pair = try VerbsPair(placement) { $0.completionFields = Self.fields.rawValue }
        for number in 0..<12 {
            try pair.near.post(.write, 0, 8) {
                $0.aim(at: pair.far)
                $0.workID = UInt64(number)
            }
        }
        for number in 0..<12 { try pair.near.success(UInt64(number)) }
        #expect(try pair.near.poll() == nil)
    }

    @Test func timestampsAreOfferedOrUnsupported() throws {
        let context = try DeviceContext(name: "rxe0")
        let clock = try context.attributes().clockKilohertz
        do {
            _ = try CompletionQueue(context: context, depth: 16, fields: [.timestamp])
            #expect(clock > 0)
        } catch {
            #expect(error.code == .unsupported || error.errorNumber == 22, "\(error)")
            #expect(clock == 0)
            print("not on rxe0: completion timestamps")
        }
    }

    @Test func aPlainQueueTrapsOnExtendedPolling() async {
        await #expect(processExitsWith: .failure) {
            let queue = try CompletionQueue(context: try DeviceContext(name: "rxe0"), depth: 16)
            _ = queue.pollEach { _ in }
        }
    }
}
