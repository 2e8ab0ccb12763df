/// What a test asks of one end of a queue pair, in this process or in another: see ``VerbsEnd``.
package enum VerbsEndCommand: Codable {
    case make(VerbsEndOptions)
    case connect(end: Int, VerbsEndPath)
    case fill(end: Int, offset: Int, count: Int, seed: UInt8)
    case bytes(end: Int, offset: Int, count: Int)
    case sum(end: Int, offset: Int, count: Int)
    /// Posts a receive of several runs of memory, to the queue pair or its shared receive queue.
    case receive(end: Int, workID: UInt64, runs: [VerbsRun])
    case post(end: Int, [VerbsPost])
    /// Waits for a completion.
    case complete(end: Int)
    /// Takes a completion if there is one.
    case poll(end: Int)
    /// Arms the completion queue.
    case arm(end: Int, solicitedOnly: Bool)
    /// Waits for an event of the completion queue; takes it.
    case completionEvent(end: Int, milliseconds: Int32)
    case window(end: Int, isType2: Bool)
    case bindType1(end: Int, offset: Int, count: Int, access: Int32)
    case armShared(end: Int, limit: Int)
    /// Waits for an event of the device.
    case deviceEvent(end: Int, milliseconds: Int32)
    case attributes(end: Int)
    case move(end: Int, VerbsMove)
    case joinGroup(end: Int, address: [UInt8], isLeaving: Bool)
    case drop(end: Int)
    /// Something of the connection manager's.
    case manage(VerbsManagerCommand)
}

package enum VerbsMove: String, Codable {
    case error, reset, drain, initialize
}

package struct VerbsEndOptions: Codable, Sendable {
    /// Number of a ``QueuePairKind``.
    package var kind: UInt32 = 2
    package var sendDepth = 16
    package var receiveDepth = 16
    package var sendElementsMax = 4
    package var receiveElementsMax = 4
    package var inlineBytesMax = 0
    package var signalsAll = false
    package var extendedOperations: UInt64 = 0
    /// Receives of a shared receive queue; 0: none.
    package var sharedDepth = 0
    package var completionDepth = 128
    /// Bits of ``CompletionFields``; nil: a plain queue.
    package var completionFields: UInt64?
    package var queueKey: UInt32 = 0x1111
    package var device = "rxe0"
    package init() {}
}

package struct VerbsEndPath: Codable, Sendable {
    package var queuePair: UInt32 = 0
    package var address: [UInt8] = []
    package var timeoutCode: UInt8 = 14
    package var retryCount: UInt8 = 7
    package var receiverNotReadyRetryCount: UInt8 = 6
    package var receiverNotReadyTimerCode: UInt8 = 12
    package var readsMax = 4
    package var mtuBytes = 1024
    /// Bits of ``MemoryAccess``: what the peer may do at most.
    package var access: Int32 = 15
    package init() {}
}

package struct VerbsRun: Codable, Sendable {
    package var offset: Int
    package var count: Int
    package init(_ offset: Int, _ count: Int) {
        self.offset = offset
        self.count = count
    }
}

package struct VerbsPost: Codable, Sendable {
    package enum Operation: String, Codable, Sendable {
        case send, sendImmediate, sendInvalidate, sendTo, sendToImmediate, write, writeImmediate, read, compareAndSwap
        case fetchAndAdd, localInvalidate, bindWindow, atomicWrite
    }
    package var operation: Operation
    package var workID: UInt64 = 1
    package var runs: [VerbsRun] = []
    /// Takes the runs from the region that peers must not reach.
    package var flags: UInt32 = 2
    package var isInline = false
    package var remoteKey: UInt32 = 0
    package var remoteAddress: UInt64 = 0
    package var immediate: UInt32 = 0
    package var first: UInt64 = 0
    package var second: UInt64 = 0
    package var queuePair: UInt32 = 0
    package var queueKey: UInt32 = 0
    package var address: [UInt8] = []
    package init(_ operation: Operation) { self.operation = operation }
}

/// What came of it; which fields mean something depends on the command.
package struct VerbsEndReply: Codable, Sendable {
    package var error: String?
    package var errorCode: String?
    package var end = 0
    package var queuePair: UInt32 = 0
    package var address: [UInt8] = []
    package var remoteKey: UInt32 = 0
    package var remoteAddress: UInt64 = 0
    /// Key of a region without remote rights.
    package var closedKey: UInt32 = 0
    package var closedAddress: UInt64 = 0
    package var inlineBytesMax = 0
    package var bytes: [UInt8] = []
    package var isFound = false
    package var workID: UInt64 = 0
    package var status: UInt32 = 0
    package var operation: UInt32 = 0
    package var byteCount = 0
    package var immediate: UInt32?
    package var invalidatedKey: UInt32?
    package var sourceQueuePair: UInt32 = 0
    package var hasHeader = false
    package var state: UInt32 = 0
    package var event: UInt32 = 0
    package var element: UInt32 = 0
    package var outcome = ""
    /// Of a connection identifier.
    package var tag: UInt64 = 0
    package var port: UInt16 = 0
    /// Of a connection event.
    package var eventStatus: Int32 = 0
    package init() {}
}
