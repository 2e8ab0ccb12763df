internal import Glibc
internal import RecordFormat

/// Writes what compaction leaves of a group of segments into one new file.
///
/// Owns its buffers: `deallocate` it.
@safe  // Both buffers are this struct's own; what is written to them is bounded by their count.
struct CompactionWriter {
    private let compaction: Compaction
    private let survey: CompactionSurvey
    /// Finished batches, not yet in the file.
    private var output: UnsafeMutableRawBufferPointer
    private var outputCount = 0
    private var headersChecksum: UInt32 = 0
    /// Whether a batch that nobody could look into came earlier: it may hold what a tombstone deletes.
    private var hasPassedOpaque = false
    /// Producers with aborted records that this pass has met, until their marker.
    private var aborting: Set<Int64> = []
    /// The markers of aborts that went.
    private var removedAborts: Set<Offset> = []

    init(_ compaction: Compaction, _ survey: CompactionSurvey) {
        self.compaction = compaction
        self.survey = survey
        unsafe output = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    }

    func deallocate() {
        unsafe output.deallocate()
    }

    /// Writes one segment in place of a group, durably but for its name.
    ///
    /// Its index files go and its summary comes before the file is in place: at any cut the base segment's file is the
    /// old or the new one, and its summary says which.
    mutating func write(_ group: [Compaction.Source], _ reader: inout BatchReader) throws(LogError) -> CompactedSegment
    {
        let base = group[0].baseOffset
        let path = compaction.directory + "/" + Segment.name(base)
        let temporaryPath = path + Segment.cleanedSuffix
        let descriptor = compaction.files.storage.open(temporaryPath, O_RDWR | O_CREAT | O_TRUNC)
        guard descriptor >= 0 else { throw LogError(errno: -descriptor, "creating", temporaryPath) }
        // Under the name that it will have.
        let file = LogFile(descriptor: descriptor, path: path, storage: compaction.files.storage)
        let segment = Segment(
            baseOffset: base, endOffset: base, sizeInBytes: 0, directory: compaction.directory,
            intervalBytes: compaction.options.indexIntervalBytes, compaction.files)
        segment.indexes = SegmentIndexes(intervalBytes: segment.intervalBytes)
        segment.take(file)
        headersChecksum = 0
        outputCount = 0
        for source in group {
            reader.begin(source.file, sizeInBytes: source.sizeInBytes)
            while let batch = unsafe try reader.next() {
                if compaction.pass.isCancelled { break }
                let isLast = reader.isAtEnd && source.baseOffset == group[group.count - 1].baseOffset
                unsafe try append(batch, to: segment, isLast: isLast)
            }
        }
        try flush(segment)
        try file.synchronize()
        let summary = SegmentSummary(
            sizeInBytes: segment.sizeInBytes, endOffset: segment.endOffset,
            cleanedOffset: min(survey.end, segment.endOffset), headersChecksum: headersChecksum)
        segment.summary = summary
        let aborted = merge(group)
        segment.setMerged(aborted, isWritten: aborted == group[0].aborted)
        if !compaction.pass.isCancelled {
            try Segment.removeIndexes(base, in: compaction.directory, compaction.files)
            // Before the file is in place; until then it says too much, or of nothing that there still is.
            try segment.saveAborted()
            // Not clean until it is in place. A file from which nothing was taken is as the old one: were it called
            // clean too early, what earlier segments of this pass must lose would never be looked for again.
            var pending = summary
            pending.cleanedOffset = base
            let old = group[0].summary.map { [$0] } ?? []
            try SegmentSummary.write(old + [pending], base, in: compaction.directory, compaction.files)
        }
        return CompactedSegment(
            pass: compaction.pass, sources: group, segment: segment, temporaryPath: temporaryPath)
    }

    /// What the new segment's markers abort. After a cut two segments may say the same.
    private func merge(_ group: [Compaction.Source]) -> [AbortedTransaction] {
        var merged: [AbortedTransaction] = []
        for transaction in group.lazy.flatMap(\.aborted) where !removedAborts.contains(transaction.lastOffset) {
            if let last = merged.last, last.lastOffset >= transaction.lastOffset { continue }
            merged.append(transaction)
        }
        return merged
    }

    /// Adds what is left of one batch.
    private mutating func append(
        _ batch: UnsafeRawBufferPointer, to segment: Segment, isLast: Bool
    ) throws(LogError) {
        let header = unsafe RecordBatchHeader(parsing: batch)
        let room = RecordBatch.filteredBytesMax(header)
        if unsafe output.count - outputCount < room {
            try flush(segment)
            if unsafe output.count < room {
                unsafe output.deallocate()
                unsafe output = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 16)
            }
        }
        let target = unsafe UnsafeMutableRawBufferPointer(rebasing: output[outputCount...])
        guard unsafe filter(batch, header, into: target, isLast: isLast) else { return }
        let written = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(target))
        headersChecksum = unsafe CRC32C.extend(
            headersChecksum, with: .init(rebasing: target[..<RecordBatchHeader.byteCount]))
        pending.append(written)
        outputCount += written.sizeInBytes
    }

    /// Headers of the batches in `output`.
    private var pending: ContiguousArray<RecordBatchHeader> = []

    /// Writes one batch's rest; false when nothing of it stays.
    private mutating func filter(
        _ batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader, into target: UnsafeMutableRawBufferPointer,
        isLast: Bool
    ) -> Bool {
        let isJudged = header.lastOffset < survey.end
        if isJudged, header.isControl {
            return unsafe filterMarker(batch, header, into: target, isLast: isLast)
        }
        if isJudged, compaction.aborted.contain(header) {
            aborting.insert(header.producerID)
            guard isLast || survey.lastOffsets[header.producerID] == header.lastOffset else { return false }
            _ = unsafe RecordBatch.empty(batch, into: target)
            return true
        }
        guard unsafe filterRecords(batch, header, isJudged: isJudged, into: target, isLast: isLast) else {
            return false
        }
        guard isJudged, header.isTransactional else { return true }
        let size = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(target)).sizeInBytes
        unsafe RecordBatch.settle(UnsafeMutableRawBufferPointer(rebasing: target[..<size]))
        return true
    }

    /// Writes a marker, unless nobody needs it: that of a commit, since what it commits is nobody's transaction any
    /// more; that of an abort once an earlier pass has removed the records, so that readers need not be told either.
    ///
    /// All of the transaction is in this file or in earlier ones, and no snapshot of producers is left from before it.
    private mutating func filterMarker(
        _ batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader, into target: UnsafeMutableRawBufferPointer,
        isLast: Bool
    ) -> Bool {
        let hadRecords = aborting.remove(header.producerID) != nil
        if let marker = unsafe EndTransactionMarker(batch), marker.isCommit || !hadRecords, !isLast {
            if !marker.isCommit { removedAborts.insert(header.lastOffset) }
            return false
        }
        unsafe target.copyMemory(from: batch)
        return true
    }

    /// Writes what is left of a batch of records that count.
    private mutating func filterRecords(
        _ batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader, isJudged: Bool,
        into target: UnsafeMutableRawBufferPointer, isLast: Bool
    ) -> Bool {
        guard !header.isOpaque, isJudged, let kept = unsafe judge(batch, header) else {
            // At the survey's end a batch is untouched, not opaque; but all that follow are untouched, too.
            hasPassedOpaque = true
            unsafe target.copyMemory(from: batch)
            return true
        }
        let isNeeded = isLast || survey.lastOffsets[header.producerID] == header.lastOffset
        guard kept.count > 0 || isNeeded else { return false }
        let horizon: Int64? =
            kept.hasTombstones && header.deleteHorizon == nil && !hasPassedOpaque
            ? compaction.nowMilliseconds + compaction.options.tombstoneMilliseconds : nil
        if kept.count == Int(header.recordCount) && horizon == nil {
            unsafe target.copyMemory(from: batch)
            return true
        }
        let size = unsafe try? RecordBatch.filter(batch, into: target, deleteHorizon: horizon) { keeps($0, header) }
        precondition(size != nil, "the records were read before")
        return true
    }

    /// How many records stay, and whether tombstones are among them; nil when the records are malformed.
    private func judge(
        _ batch: UnsafeRawBufferPointer, _ header: RecordBatchHeader
    ) -> (count: Int, hasTombstones: Bool)? {
        var count = 0
        var hasTombstones = false
        do throws(RecordBatchError) {
            var reader = unsafe try RecordReader(batch)
            while let record = try reader.next() {
                guard keeps(record, header) else { continue }
                count += 1
                if unsafe record.key != nil && record.value == nil { hasTombstones = true }
            }
        } catch {
            return nil
        }
        return (count, hasTombstones)
    }

    private func keeps(_ record: RecordView, _ header: RecordBatchHeader) -> Bool {
        guard let key = unsafe record.key else { return true }
        if let last = unsafe survey.keys.lastOffset(of: key), last > record.offset { return false }
        guard unsafe record.value == nil, let horizon = header.deleteHorizon, !hasPassedOpaque else { return true }
        return compaction.nowMilliseconds < horizon
    }

    private mutating func flush(_ segment: Segment) throws(LogError) {
        let bytes = unsafe UnsafeRawBufferPointer(rebasing: output[..<outputCount])
        unsafe try segment.file.write(bytes, at: segment.sizeInBytes)
        for header in pending { segment.add(header) }
        pending.removeAll(keepingCapacity: true)
        outputCount = 0
    }
}
