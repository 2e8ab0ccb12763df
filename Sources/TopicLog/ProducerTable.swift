internal import RecordFormat

/// The idempotent producers of one partition, and their ongoing transactions.
///
/// Life cycle of a change: `verdict`, `record` (tentative), then `commit` once the batches are written, or `rollBack`.
///
/// A producer that is not known may be new here, or forgotten. Kafka takes any sequence number from it. Then, when the
/// first batches of a new one are on their way together and the first is refused for a while (a full disk has room for
/// a smaller one), the second is taken, and the first can never follow. So only a producer that may have been forgotten
/// begins with any number. Ids are given out in ascending order: it may have been when its id is at most
/// `forgottenMax`.
struct ProducerTable {
    enum Verdict: Equatable {
        case accept
        case duplicate(ProducerState.Batch)
        case outOfOrderSequence
        case invalidProducerEpoch
        case invalidTransactionState
    }

    private(set) var states: [Int64: ProducerState] = [:]
    private(set) var ongoing = OngoingTransactions()
    private var journal: [(producerID: Int64, before: ProducerState?)] = []
    /// Transactions that the recorded markers end.
    private var ended: [EndedTransaction] = []
    private let producersMax: Int
    /// Where ids end that a broker may have given out: larger ones were made up by clients, and say nothing of others.
    static let idsEnd: Int64 = 1 << 62
    /// The largest id below ``idsEnd`` ever recorded here; -1 for none.
    private(set) var producerIDMax: Int64 = -1
    /// The same of those that are not known any more.
    private(set) var forgottenMax: Int64 = -1
    /// Whether more was forgotten than can be told: then everybody may have been who is met in the log.
    private var hasForgottenMore = false
    /// When idle producers were last looked for, in milliseconds; nil for never.
    private var lookedAt: Int64?

    init(producersMax: Int) {
        self.producersMax = producersMax
    }

    /// As a snapshot had them.
    init(_ snapshot: ProducerSnapshot, producersMax: Int) {
        states = snapshot.states
        forgottenMax = snapshot.forgottenMax
        self.producersMax = producersMax
        for id in states.keys { noteID(id) }
        noteID(forgottenMax)
        findOngoing()
        dropOldest()
    }

    /// What a snapshot keeps of them.
    var snapshot: ProducerSnapshot { ProducerSnapshot(states: states, forgottenMax: forgottenMax) }
    var count: Int { states.count }
    /// All of them.
    var ids: Set<Int64> { Set(states.keys) }

    /// Judges a batch; changes nothing.
    func verdict(_ header: RecordBatchHeader) -> Verdict {
        guard header.producerID >= 0 else { return .accept }
        guard header.producerEpoch >= 0 else { return .invalidProducerEpoch }
        let known = states[header.producerID]
        if let known, header.producerEpoch < known.epoch { return .invalidProducerEpoch }
        // A coordinator's: markers, and offsets that a transaction commits, carry no sequence.
        if header.isTransactional, header.baseSequence < 0 { return .accept }
        guard let state = known else {
            return header.baseSequence == 0 || header.producerID <= forgottenMax ? .accept : .outOfOrderSequence
        }
        if state.transactionStart != nil, !header.isTransactional { return .invalidTransactionState }
        if header.producerEpoch > state.epoch { return header.baseSequence == 0 ? .accept : .outOfOrderSequence }
        if let batch = state.duplicate(of: header) { return .duplicate(batch) }
        guard let last = state.last else { return header.baseSequence == 0 ? .accept : .outOfOrderSequence }
        let expected = RecordBatchHeader.sequence(last.lastSequence, advancedBy: 1)
        return header.baseSequence == expected ? .accept : .outOfOrderSequence
    }

    /// Takes note of an accepted batch, to be undone by `rollBack`.
    /// - Parameter marker: What a control batch says.
    mutating func record(_ header: RecordBatchHeader, baseOffset: Offset, _ marker: EndTransactionMarker? = nil) {
        guard header.producerID >= 0 else { return }
        journal.append((header.producerID, states[header.producerID]))
        if let end = apply(header, baseOffset: baseOffset, marker) { ended.append(end) }
    }

    /// Takes note of a batch found in the log.
    /// - Parameter marker: What a control batch says, where that matters.
    /// - Returns: the transaction that it ends.
    @discardableResult
    mutating func replay(_ header: RecordBatchHeader, _ marker: EndTransactionMarker? = nil) -> EndedTransaction? {
        guard header.producerID >= 0, header.baseSequence >= 0 || header.isTransactional else { return nil }
        let end = apply(header, baseOffset: header.baseOffset, marker)
        if hasForgottenMore { noteForgotten(header.producerID) }
        dropOldest()
        return end
    }

    /// Takes note that a part of the log is missing in what was replayed.
    mutating func missPart() {
        hasForgottenMore = true
        forgottenMax = producerIDMax
    }

    /// Keeps what was recorded.
    /// - Returns: the transactions that have ended by it, in order.
    mutating func commit() -> [EndedTransaction] {
        journal.removeAll(keepingCapacity: true)
        dropOldest()
        guard !ended.isEmpty else { return [] }
        defer { ended = [] }
        return ended
    }

    /// Undoes what was recorded since the last commit.
    mutating func rollBack() {
        for change in journal.reversed() { states[change.producerID] = change.before }
        journal.removeAll(keepingCapacity: true)
        ended = []
        findOngoing()
    }

    /// Forgets the producers that have appended nothing for so long, but for those with an open transaction.
    ///
    /// Their time begins with the first look that finds nothing new of them: nobody is forgotten early, and after a
    /// start all begin anew. Looks that come too often do nothing.
    /// - Parameters:
    ///   - now: Of any clock that does not go back, in milliseconds.
    ///   - expiration: `producer.id.expiration.ms`.
    /// - Returns: how many it looked at.
    mutating func forgetIdle(nowMilliseconds now: Int64, after expiration: Int64) -> Int {
        if let lookedAt, now - lookedAt < expiration / 16 { return 0 }
        lookedAt = now
        let looked = states.count
        var idle: [Int64] = []
        var index = states.startIndex
        while index != states.endIndex {
            if states.values[index].idleSince < 0 {
                states.values[index].idleSince = now
            } else if now - states.values[index].idleSince >= expiration,
                states.values[index].transactionStart == nil
            {
                idle.append(states.keys[index])
            }
            states.formIndex(after: &index)
        }
        for producerID in idle { forget(producerID) }
        return looked
    }

    private mutating func findOngoing() {
        ongoing = OngoingTransactions(states.compactMap { id, state in state.transactionStart.map { (id, $0) } })
    }

    private mutating func apply(
        _ header: RecordBatchHeader, baseOffset: Offset, _ marker: EndTransactionMarker?
    ) -> EndedTransaction? {
        let id = header.producerID
        noteID(id)
        var state = states[id] ?? ProducerState(epoch: header.producerEpoch)
        if state.epoch != header.producerEpoch { state = state.renewed(header.producerEpoch) }
        state.idleSince = -1
        defer { states[id] = state }
        let lastOffset = baseOffset.advanced(by: Int64(header.lastOffsetDelta))
        if header.isControl {
            state.transactionStart = nil
            // This broker's own coordinator has no epochs: what was fenced stays so.
            if let marker { state.coordinatorEpoch = max(state.coordinatorEpoch, marker.coordinatorEpoch) }
            guard let start = ongoing.end(id) else { return nil }
            return EndedTransaction(
                transaction: AbortedTransaction(
                    producerID: id, firstOffset: start, lastOffset: lastOffset,
                    lastStableOffset: ongoing.first ?? lastOffset.advanced(by: 1)),
                isCommitted: marker?.isCommit ?? false)
        }
        if header.isTransactional, state.transactionStart == nil {
            state.transactionStart = baseOffset
            ongoing.begin(id, at: baseOffset)
        }
        // Offsets that a transaction commits carry no sequence.
        guard header.baseSequence >= 0 else { return nil }
        let batch = ProducerState.Batch(
            baseSequence: header.baseSequence, lastSequence: header.lastSequence, baseOffset: baseOffset,
            lastOffset: lastOffset)
        state.add(batch, timestamp: header.maxTimestamp)
        return nil
    }

    /// Drops the producers whose last batch is oldest, a tenth at a time so that the search is paid for rarely. Those
    /// with a transaction stay.
    private mutating func dropOldest() {
        guard states.count - ongoing.count > producersMax else { return }
        let keep = producersMax - producersMax / 10
        let byAge = states.lazy.filter { $0.value.transactionStart == nil }
            .map { ($0.value.last?.lastOffset ?? .zero, $0.key) }.sorted { $0 < $1 }
        for (_, producerID) in byAge.prefix(byAge.count - keep) { forget(producerID) }
    }

    private mutating func forget(_ producerID: Int64) {
        states[producerID] = nil
        noteForgotten(producerID)
    }

    private mutating func noteID(_ id: Int64) {
        if id < Self.idsEnd { producerIDMax = max(producerIDMax, id) }
    }

    private mutating func noteForgotten(_ id: Int64) {
        if id < Self.idsEnd { forgottenMax = max(forgottenMax, id) }
    }
}
