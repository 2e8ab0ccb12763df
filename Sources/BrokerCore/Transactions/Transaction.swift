/// A transactional id and its transaction, one after another.
///
/// ```
///   Empty ──first partition──► Ongoing ──end──► PrepareCommit ──markers written──► CompleteCommit
///                                 ▲    └──end, timeout, a new instance──► PrepareAbort ──► CompleteAbort
///                                 └──────────────first partition of the next one──────────────┘
/// ```
final class Transaction {
    let id: String
    private(set) var stored: StoredTransaction
    /// What is on its way to the log, and will be true when it is there.
    var pending: StoredTransaction?
    /// The epoch before, when its owner may ask a second time for the one it got; else -1.
    var lastEpoch: Int16 = -1
    /// The producer id before, whose epochs were used up; else -1.
    var lastProducerID: Int64 = -1
    /// When an ongoing transaction is aborted, in nanoseconds of the monotonic clock.
    var deadline = UInt64.max
    /// Partitions whose marker is still to be written, of a prepared transaction.
    var unmarked: Set<TransactionPartition> = []
    /// When those are tried again that failed.
    var retryAt = UInt64.max
    /// Partitions whose marker failed.
    var failed: [TransactionPartition] = []
    /// Who is told that it has ended.
    var ender: ProduceOrigin?

    init(id: String, _ stored: StoredTransaction) {
        self.id = id
        self.stored = stored
    }

    /// Becomes what the log says now.
    func adopt(_ next: StoredTransaction) { stored = next }

    /// No epoch is left that a producer may get: the last one is for fencing it.
    var isEpochExhausted: Bool { stored.producer.epoch >= Int16.max - 1 }

    /// Nothing is due before this.
    var nextDeadline: UInt64 { min(deadline, retryAt) }

    /// What it takes in memory, roughly.
    var byteCount: Int { Self.bytes(ofID: id) + Self.bytes(of: stored.partitions) }

    static func bytes(ofID id: String) -> Int { 384 + 2 * id.utf8.count }
    static func bytes(of partitions: some Sequence<TransactionPartition>) -> Int {
        partitions.reduce(0) { $0 + 48 + $1.topic.utf8.count }
    }
}
