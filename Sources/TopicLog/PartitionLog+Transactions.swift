package import RecordFormat

// What consumers need that read only what is committed.
extension PartitionLog {
    /// Everything below has been decided: each transaction committed or aborted, with a marker that consumers may see.
    /// - Parameter highWatermark: What consumers may see at all.
    /// - Throws: when what was known of producers cannot be read.
    package func lastStableOffset(below highWatermark: Offset) throws(LogError) -> Offset {
        try activate()
        return decidedEnd(below: highWatermark)
    }

    /// The same as far as it is in memory, which it is of a log that anything was appended to since the start; nil
    /// where it would have to be read.
    package func knownLastStableOffset(below highWatermark: Offset) -> Offset? {
        isActive ? decidedEnd(below: highWatermark) : nil
    }

    private func decidedEnd(below highWatermark: Offset) -> Offset {
        didPublish(highWatermark)
        let undecided = ended.reduce(producers.ongoing.first ?? highWatermark) {
            min($0, $1.transaction.firstOffset)
        }
        return max(min(highWatermark, undecided), logStartOffset)
    }

    /// The aborted transactions with records between two offsets, in the order of their markers; some may be without.
    /// - Parameter end: At most the last stable offset.
    package func abortedTransactions(from start: Offset, below end: Offset) throws(LogError) -> [AbortedTransaction] {
        guard start < end, !segments.isEmpty else { return [] }
        var found: [AbortedTransaction] = []
        for segment in segments[max(0, segmentIndex(for: start))...] {
            let all = try aborted(of: segment)
            for transaction in all[all.firstIndex(endingAt: start)...] {
                if transaction.firstOffset < end { found.append(transaction) }
                if transaction.lastStableOffset >= end { return found }
            }
        }
        return found
    }

    /// The same for who gets a range of a file that begins with the batch of `start`.
    package func abortedTransactions(
        in range: FileRange, from start: Offset, below end: Offset
    ) throws(LogError) -> [AbortedTransaction] {
        let segment = segments[max(0, segmentIndex(for: start))]
        var end = min(end, segment.endOffset)
        let position = range.position + Int64(range.count)
        // What comes next says where the range ends; where few were aborted, nobody needs to know.
        if position < segment.sizeInBytes, try aborted(of: segment).count > Self.abortedFew {
            let next = try segment.header(at: position).baseOffset
            if next > start { end = min(end, next) }
        }
        return try abortedTransactions(from: start, below: end)
    }

    private static var abortedFew: Int { 16 }

    /// How many there are of ``activeProducers``.
    package var activeProducerCount: Int {
        get throws(LogError) {
            try activate()
            return producers.states.count
        }
    }

    /// The newest epoch of the coordinators that wrote a producer's markers; −1 when none has.
    package func coordinatorEpoch(of producerID: Int64) throws(LogError) -> Int32 {
        try activate()
        return producers.states[producerID]?.coordinatorEpoch ?? -1
    }

    /// The idempotent producers remembered, in the order of their ids.
    package var activeProducers: [ActiveProducer] {
        get throws(LogError) {
            try activate()
            return producers.states.sorted { $0.key < $1.key }.map { id, state in
                ActiveProducer(
                    producerID: id, epoch: state.epoch, lastSequence: state.last?.lastSequence ?? -1,
                    lastTimestamp: state.lastTimestamp, coordinatorEpoch: state.coordinatorEpoch,
                    transactionStart: state.transactionStart)
            }
        }
    }

    /// Says that consumers may see everything below an offset.
    package func didPublish(_ highWatermark: Offset) {
        guard !ended.isEmpty else { return }
        ended.removeAll { $0.transaction.lastOffset < highWatermark }
    }

    /// The aborted transactions whose markers are in a segment. Read once, then remembered.
    @discardableResult
    func aborted(of segment: Segment) throws(LogError) -> [AbortedTransaction] {
        if let aborted = segment.aborted { return aborted }
        if let stored = try segment.storedAborted() {
            segment.aborted = stored
            return stored
        }
        // The file is damaged, so the log tells.
        var producers = try ProducerTable.restore(
            segments: segments.filter { $0.baseOffset < segment.baseOffset }, snapshots: snapshots,
            below: segment.baseOffset, directory: directory, options, files
        ).producers
        var found: [AbortedTransaction] = []
        _ = try segment.walk { (header, position) throws(LogError) in
            let marker = header.isControl ? try segment.marker(header, at: position) : nil
            if let ended = producers.replay(header, marker), !ended.isCommitted { found.append(ended.transaction) }
            return true
        }
        try segment.setAborted(found)
        if segment !== segments.last { try segment.saveAborted() }
        return found
    }

    /// Takes note of transactions that markers just written have ended.
    func take(_ transactions: [EndedTransaction], in segment: Segment) {
        for end in transactions where !end.isCommitted { segment.addAborted(end.transaction) }
        ended += transactions
    }
}

extension [AbortedTransaction] {
    /// The first whose marker is at an offset or behind it.
    fileprivate func firstIndex(endingAt offset: Offset) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle].lastOffset < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
