internal import Glibc
package import RecordFormat
internal import Synchronization

/// One pass of compaction over a partition's rolled segments: a value for a thread of its own.
///
/// The segments it reads are immutable and stay open for it; it writes new ones beside them, oldest first, and the
/// log's owner puts each in place with ``PartitionLog/install(_:)``.
/// - Of each key the last record stays; of those without a key, all.
/// - A tombstone stays for `deleteRetentionMilliseconds` after the pass that has removed what it deletes.
/// - A batch keeps its offsets, whatever is left of it. An empty one stays only when it is the last of an idempotent
///   producer, whose sequence number it is, or of its segment, so that segments follow each other without gaps.
/// - Batches whose records cannot be judged (compressed, malformed) stay whole. They may hold older values of any key:
///   so tombstones behind them stay, too.
/// - All transactions are decided that a pass looks at. What was aborted goes; what was committed is nobody's
///   transaction any more, and its marker goes. The marker of an abort goes in a pass that finds no records of it.
package struct Compaction: Sendable {
    /// A segment to be compacted.
    struct Source: Sendable {
        let baseOffset: Offset
        let endOffset: Offset
        let generation: Int
        let sizeInBytes: Int64
        let file: LogFile
        let summary: SegmentSummary?
        let aborted: [AbortedTransaction]
    }

    let pass: CompactionPass
    let directory: String
    let options: LogOptions
    let files: FileSystem
    /// Oldest first, without gaps.
    let sources: [Source]
    /// The first offset that no pass has seen.
    let firstDirtyOffset: Offset
    /// What was aborted of the transactions in the sources.
    let aborted: AbortedRanges
    /// The idempotent producers that the log remembers.
    let producerIDs: Set<Int64>
    let nowMilliseconds: Int64

    /// Does all of it. Ends early, without an error, once the log wants nothing more of it.
    /// - Parameter deliver: Gets each new segment once its files are durable.
    /// - Returns: How far the log is compacted: memory for keys may end before the segments do.
    /// - Throws: when a file cannot be read or written, or is damaged; what was delivered before is good.
    @discardableResult
    package func run(_ deliver: (CompactedSegment) -> Void) throws(LogError) -> Offset {
        let dirtySpan = sources.last.map { firstDirtyOffset.distance(to: $0.endOffset) } ?? 0
        var survey = CompactionSurvey(
            keys: KeyMap(bytesMax: options.compactionBytesMax, keysMax: dirtySpan), end: sources[0].baseOffset)
        var reader = BatchReader(bufferBytes: 1 << 20)
        defer { reader.deallocate() }
        for source in sources where !survey.isFull { try read(source, into: &survey, &reader) }
        var writer = CompactionWriter(self, survey)
        defer { writer.deallocate() }
        for group in groups(below: survey.end) {
            guard !pass.isCancelled else { break }
            deliver(try writer.write(group, &reader))
        }
        return survey.end
    }

    /// Collects what must be known of a segment before anything can be removed.
    private func read(
        _ source: Source, into survey: inout CompactionSurvey, _ reader: inout BatchReader
    ) throws(LogError) {
        let isClean = source.endOffset <= firstDirtyOffset
        if isClean && producerIDs.isEmpty {
            survey.end = source.endOffset
            return
        }
        reader.begin(source.file, sizeInBytes: source.sizeInBytes)
        while let batch = unsafe try reader.next() {
            if pass.isCancelled { return }
            let header = unsafe RecordBatchHeader(parsing: batch)
            // A marker has no sequence number.
            if !header.isControl, producerIDs.contains(header.producerID) {
                survey.lastOffsets[header.producerID] = header.lastOffset
            }
            guard !survey.isFull else { continue }
            if header.lastOffset >= firstDirtyOffset, !header.isOpaque, !aborted.contain(header) {
                // A count that cannot be: from before such batches were refused.
                let records = min(Int(header.recordCount), RecordBatch.recordsMax(header))
                if !survey.keys.hasRoom(for: records) {
                    guard survey.keys.count == 0 else {
                        survey.isFull = true
                        continue
                    }
                    // One batch is always taken, or a small map would never get past it.
                    survey.keys = KeyMap(bytesMax: .max, keysMax: Int64(records))
                }
                unsafe survey.keys.add(batch)
            }
            survey.end = header.lastOffset.advanced(by: 1)
        }
    }

    /// Neighbours that fit one segment together.
    private func groups(below end: Offset) -> [[Source]] {
        var groups: [[Source]] = []
        var bytes: Int64 = 0
        for source in sources where source.baseOffset < end {
            bytes += source.sizeInBytes
            if let first = groups.last?.first, bytes <= Int64(options.segmentBytes),
                first.baseOffset.distance(to: source.endOffset) <= Int64(Int32.max)
            {
                groups[groups.count - 1].append(source)
            } else {
                groups.append([source])
                bytes = source.sizeInBytes
            }
        }
        return groups
    }
}

/// What a log and the thread that compacts it both hold.
package final class CompactionPass: Sendable {
    private let cancelled = Atomic(false)

    /// Whether nothing more is wanted.
    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }
    func cancel() { cancelled.store(true, ordering: .relaxed) }
}

/// What must be known before records are removed.
struct CompactionSurvey {
    var keys: KeyMap
    /// Below it every key is in the map, or was compacted by an earlier pass; nothing above is touched.
    var end: Offset
    /// Of each idempotent producer the last batch's last offset.
    var lastOffsets: [Int64: Offset] = [:]
    /// Whether the map took no more.
    var isFull = false
}

/// A new segment, ready to take the place of others.
// Unchecked: the thread that made the segment lets go of it when it delivers this.
@safe package struct CompactedSegment: @unchecked Sendable {
    let pass: CompactionPass
    let sources: [Compaction.Source]
    let segment: Segment
    let temporaryPath: String

    /// The offsets it covers.
    package var range: Range<Offset> { segment.baseOffset..<segment.endOffset }
}

extension KeyMap {
    /// Takes note of all keys of a batch. A malformed one adds what can be read.
    fileprivate mutating func add(_ batch: UnsafeRawBufferPointer) {
        guard var reader = unsafe try? RecordReader(batch) else { return }
        while let record = try? reader.next() {
            if let key = unsafe record.key { unsafe set(key, record.offset) }
        }
    }
}

extension RecordBatchHeader {
    /// Whether compaction must not look at the records.
    var isOpaque: Bool { isCompressed || isControl }
}
