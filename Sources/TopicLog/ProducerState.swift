internal import RecordFormat

/// What a partition remembers of one idempotent producer: its epoch, its last five batches and its transaction.
struct ProducerState {
    struct Batch: Equatable {
        var baseSequence: Int32 = 0
        var lastSequence: Int32 = 0
        var baseOffset = Offset.zero
        var lastOffset = Offset.zero
    }

    /// Kafka's number: a producer has at most five requests in flight.
    static let batchesMax = 5

    let epoch: Int16
    /// The largest timestamp of the last batch.
    private(set) var lastTimestamp: Int64 = -1
    /// Where the transaction begins that no marker has ended here.
    var transactionStart: Offset?
    /// The newest of the coordinators that wrote markers; -1 for none.
    var coordinatorEpoch: Int32 = -1
    /// When it was first seen to have appended nothing since the look before, in milliseconds; -1 when it has.
    var idleSince: Int64 = -1
    private var batches = InlineArray<5, Batch>(repeating: Batch())
    private var count = 0
    /// Where the next batch goes: a ring.
    private var next = 0

    init(epoch: Int16) {
        self.epoch = epoch
    }

    /// Of a newer epoch: the transaction is still to be ended, what was numbered before is forgotten.
    func renewed(_ epoch: Int16) -> ProducerState {
        var state = ProducerState(epoch: epoch)
        state.transactionStart = transactionStart
        state.coordinatorEpoch = coordinatorEpoch
        return state
    }

    var last: Batch? {
        count == 0 ? nil : batches[(next + Self.batchesMax - 1) % Self.batchesMax]
    }

    /// All that are remembered.
    var oldestFirst: [Batch] {
        (0..<count).map { batches[(next + Self.batchesMax - count + $0) % Self.batchesMax] }
    }

    mutating func add(_ batch: Batch, timestamp: Int64) {
        lastTimestamp = timestamp
        batches[next] = batch
        next = (next + 1) % Self.batchesMax
        count = min(count + 1, Self.batchesMax)
    }

    /// The remembered batch with these sequence numbers.
    func duplicate(of header: RecordBatchHeader) -> Batch? {
        for index in 0..<count {
            let batch = batches[index]
            if batch.baseSequence == header.baseSequence && batch.lastSequence == header.lastSequence { return batch }
        }
        return nil
    }
}
