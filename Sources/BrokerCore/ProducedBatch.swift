package import RecordFormat
package import TopicProtocol

/// Where an acknowledgement or a later answer goes: a door's number and the door's own number for the connection.
package struct ProduceOrigin: Sendable {
    package var door: Int
    package var session: UInt64
    package var requestID: UInt32
    package init(door: Int, session: UInt64, requestID: UInt32) {
        self.door = door
        self.session = session
        self.requestID = requestID
    }
}

/// A batch that has landed and passed its check.
///
/// - Ownership: the bytes belong to the door and stay untouched until ``Broker/commit(now:heardUntil:)`` returns.
@safe package struct ProducedBatch {
    package var bytes: UnsafeMutableRawBufferPointer
    package var origin: ProduceOrigin
    /// The door's name for the memory, when it wants to hear what became of it (``AppendedBatch``).
    package var memory: Int?
    package init(bytes: UnsafeMutableRawBufferPointer, origin: ProduceOrigin, memory: Int? = nil) {
        unsafe self.bytes = bytes
        self.origin = origin
        self.memory = memory
    }
}

/// A batch that is in the log now, perhaps not committed yet.
package struct AppendedBatch {
    /// As in ``ProducedBatch/memory``.
    package let memory: Int
    package let partition: Partition
    package let base: Offset
    /// The offset after its last record.
    package let next: Offset
    package let byteCount: Int
}

/// What the broker tells a door after a turn.
package struct BrokerEffects {
    /// Acknowledgements by door, in the order in which they became due.
    package var acks: [[(origin: ProduceOrigin, ack: ProduceAck)]]
    /// What became of changes of topics, by door.
    package var changed: [[(origin: ProduceOrigin, result: TopicChange.Result)]]
    /// Retention, compaction or a request has removed files of logs: whoever maps some lets go of them.
    package var hasDeletedFiles = false
    /// Batches appended whose memory has a name, by door.
    package var appended: [[AppendedBatch]]
    /// Answers about groups, in order.
    package var answers: [GroupAnswer] = []
    /// Answers about transactions, in order.
    package var transactionAnswers: [TransactionAnswer] = []
    /// Partitions whose high watermark moved: their consumers have something to read. One may stand here twice.
    package var readable: [Partition] = []
    /// A partition went away, or its log's start moved: all subscriptions are looked at.
    package var isReadable = false
    /// What an operator should know, by partition: a full disk, a failed sync, damage.
    package var troubles: [String: String] = [:]
    /// What retention or compaction could not do.
    package var maintenanceTroubles: [String] = []

    package init(doors: Int) {
        acks = Array(repeating: [], count: doors)
        changed = Array(repeating: [], count: doors)
        appended = Array(repeating: [], count: doors)
    }

    /// Empties it; its memory stays for what comes next.
    mutating func clear() {
        for door in acks.indices {
            acks[door].removeAll(keepingCapacity: true)
            appended[door].removeAll(keepingCapacity: true)
            changed[door].removeAll(keepingCapacity: true)
        }
        hasDeletedFiles = false
        answers.removeAll(keepingCapacity: true)
        transactionAnswers.removeAll(keepingCapacity: true)
        readable.removeAll(keepingCapacity: true)
        isReadable = false
        if !troubles.isEmpty { troubles = [:] }
        if !maintenanceTroubles.isEmpty { maintenanceTroubles = [] }
    }
}
