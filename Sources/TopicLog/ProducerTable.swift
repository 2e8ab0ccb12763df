internal import RecordFormat

/// The idempotent producers of one partition.
///
/// Life cycle of a change: `verdict`, `record` (tentative), then `commit` once the batches are written, or `rollBack`.
struct ProducerTable {
    enum Verdict: Equatable {
        case accept
        case duplicate(ProducerState.Batch)
        case outOfOrderSequence
        case invalidProducerEpoch
    }

    private(set) var states: [Int64: ProducerState] = [:]
    private var journal: [(producerID: Int64, before: ProducerState?)] = []
    private let producersMax: Int
    /// The largest id ever recorded here; -1 for none.
    private(set) var producerIDMax: Int64 = -1

    init(producersMax: Int) {
        self.producersMax = producersMax
    }

    /// As a snapshot had them.
    init(states: [Int64: ProducerState], producersMax: Int) {
        self.states = states
        self.producersMax = producersMax
        producerIDMax = states.keys.max() ?? -1
        dropOldest()
    }

    var count: Int { states.count }
    /// All of them.
    var ids: Set<Int64> { Set(states.keys) }

    /// Judges a batch; changes nothing.
    func verdict(_ header: RecordBatchHeader) -> Verdict {
        guard header.producerID >= 0 else { return .accept }
        guard header.producerEpoch >= 0 else { return .invalidProducerEpoch }
        guard let state = states[header.producerID] else {
            return header.baseSequence == 0 ? .accept : .outOfOrderSequence
        }
        if header.producerEpoch < state.epoch { return .invalidProducerEpoch }
        if header.producerEpoch > state.epoch { return header.baseSequence == 0 ? .accept : .outOfOrderSequence }
        if let batch = state.duplicate(of: header) { return .duplicate(batch) }
        guard let last = state.last else { return header.baseSequence == 0 ? .accept : .outOfOrderSequence }
        let expected = RecordBatchHeader.sequence(last.lastSequence, advancedBy: 1)
        return header.baseSequence == expected ? .accept : .outOfOrderSequence
    }

    /// Takes note of an accepted batch, to be undone by `rollBack`.
    mutating func record(_ header: RecordBatchHeader, baseOffset: Offset) {
        guard header.producerID >= 0 else { return }
        journal.append((header.producerID, states[header.producerID]))
        apply(header, baseOffset: baseOffset)
    }

    /// Takes note of a batch found in the log. Markers of transactions carry no sequence number.
    mutating func replay(_ header: RecordBatchHeader) {
        guard header.producerID >= 0, header.baseSequence >= 0 else { return }
        apply(header, baseOffset: header.baseOffset)
        dropOldest()
    }

    /// Keeps what was recorded.
    mutating func commit() {
        journal.removeAll(keepingCapacity: true)
        dropOldest()
    }

    /// Undoes what was recorded since the last commit.
    mutating func rollBack() {
        for change in journal.reversed() { states[change.producerID] = change.before }
        journal.removeAll(keepingCapacity: true)
    }

    private mutating func apply(_ header: RecordBatchHeader, baseOffset: Offset) {
        let batch = ProducerState.Batch(
            baseSequence: header.baseSequence, lastSequence: header.lastSequence, baseOffset: baseOffset,
            lastOffset: baseOffset.advanced(by: Int64(header.lastOffsetDelta)))
        if states[header.producerID]?.epoch != header.producerEpoch {
            states[header.producerID] = ProducerState(epoch: header.producerEpoch)
        }
        states[header.producerID]!.add(batch, timestamp: header.maxTimestamp)
        producerIDMax = max(producerIDMax, header.producerID)
    }

    /// Drops the producers whose last batch is oldest, a tenth at a time so that the search is paid for rarely.
    private mutating func dropOldest() {
        guard states.count > producersMax else { return }
        let keep = producersMax - producersMax / 10
        let byAge = states.map { ($0.value.last?.lastOffset ?? .zero, $0.key) }.sorted { $0 < $1 }
        for (_, producerID) in byAge.prefix(states.count - keep) { states[producerID] = nil }
    }
}
