internal import Glibc
internal import RecordFormat

/// Brings a partition's directory into order after any kind of stop.
///
/// A log that was closed in order is only listed. Otherwise the segments from the durable bound on are walked: by
/// headers below it, by checksums at and above it. A batch is bad when it is cut, fails its checksum, or does not
/// follow its predecessor. Below the bound that is corruption of acknowledged data: the log is fenced there and no file
/// is touched. At or above it nobody was promised anything: the log ends there, and the rest is moved to `.torn` files,
/// because it may still interest somebody.
///
/// - Threading: `run` may be called on any thread, one at a time; the segments are open only while it runs.
struct LogRecovery {
    let directory: String
    let options: LogOptions
    let logStartOffset: Offset
    let leaderEpochMax: LeaderEpoch
    let files: FileSystem

    /// Everything below was durable once.
    private(set) var bound: Offset
    private(set) var segments: [Segment] = []
    private(set) var nextOffset = Offset.zero
    /// Nil after a clean close: loaded when they are needed.
    private(set) var producers: ProducerTable?
    private(set) var epochs = LeaderEpochs()
    private(set) var fence: LogFence?
    private(set) var damages: [DamagedRange] = []
    private(set) var result = PartitionRecovery()
    /// Where the snapshots are, in order.
    private(set) var snapshots: [Offset] = []
    /// Whether there is nothing to be done.
    private(set) var isClean = false
    /// The first segment with something at the bound or above it.
    private var firstUnclean = 0

    private var leaderEpoch = LeaderEpoch.zero
    /// What may vouch for compacted segments, by their base offset.
    private var summaries: [Offset: [SegmentSummary]] = [:]

    /// How a partition was left by a clean close.
    struct CleanClose {
        let logEndOffset: Offset
        let lastSegmentBytes: Int64
    }

    /// Lists the directory.
    init(
        directory: String, options: LogOptions, bound: Offset, logStartOffset: Offset, leaderEpochMax: LeaderEpoch,
        cleanClose: CleanClose? = nil, _ files: FileSystem
    ) throws(LogError) {
        self.files = files
        self.directory = directory
        self.options = options
        self.bound = max(bound, logStartOffset)
        self.logStartOffset = logStartOffset
        self.leaderEpochMax = leaderEpochMax
        try list(cleanClose)
    }

    /// Bytes that `run` will read.
    var bytesToRead: Int64 { isClean ? 0 : segments.dropFirst(firstUnclean).reduce(0) { $0 + $1.sizeInBytes } }

    private mutating func list(_ cleanClose: CleanClose?) throws(LogError) {
        let bases = try clear()
        segments.reserveCapacity(bases.count)
        for (index, base) in bases.enumerated() {
            let size = try files.size(of: directory + "/" + Segment.name(base))
            let end = index + 1 < bases.count ? bases[index + 1] : base
            segments.append(
                Segment(
                    baseOffset: base, endOffset: end, sizeInBytes: size, directory: directory,
                    intervalBytes: options.indexIntervalBytes, files))
            if let stored = summaries[base] {
                // A summary speaks for a file of its size; what was compacted was durable.
                let valid = stored.filter { $0.sizeInBytes == size }
                summaries[base] = valid.isEmpty ? nil : valid
                bound = valid.reduce(bound) { max($0, $1.endOffset) }
            }
        }
        nextOffset = bases.first ?? logStartOffset
        if let cleanClose, believes(cleanClose), let last = segments.last {
            for segment in segments { segment.summary = summaries[segment.baseOffset]?[0] }
            last.endOffset = cleanClose.logEndOffset
            isClean = true
            result.records = max(nextOffset, logStartOffset).distance(to: cleanClose.logEndOffset)
            nextOffset = cleanClose.logEndOffset
            return
        }
        // A segment is known to be durable when the next one begins at the bound or below.
        while firstUnclean + 1 < bases.count, bases[firstUnclean + 1] <= bound { firstUnclean += 1 }
    }

    /// Whether the directory is as a clean close left it, as far as a list of it tells. Compaction that was cut is not.
    private func believes(_ cleanClose: CleanClose) -> Bool {
        guard let last = segments.last, last.sizeInBytes == cleanClose.lastSegmentBytes,
            last.baseOffset <= cleanClose.logEndOffset, cleanClose.logEndOffset >= bound
        else { return false }
        return segments.allSatisfy { segment in
            guard let own = summaries[segment.baseOffset] else { return true }
            return own.count == 1 && own[0].endOffset == segment.endOffset
        }
    }

    /// Removes what a cut compaction or deletion has left, and reads what vouches for compacted segments.
    /// - Returns: the segments' base offsets, in order.
    private mutating func clear() throws(LogError) -> [Offset] {
        var bases: [Offset] = []
        var others: [String] = []
        try files.forEachName(in: directory) { name in
            if let base = Segment.baseOffset(ofName: name) {
                bases.append(base)
            } else if let offset = Segment.offset(ofName: name, ProducerSnapshot.suffix) {
                snapshots.append(offset)
            } else if name.hasSuffix(Segment.cleanedSuffix) || name.hasSuffix(SegmentSummary.suffix)
                || name.hasSuffix(SegmentSummary.suffix + ".tmp") || name.hasSuffix(TransactionIndex.suffix + ".tmp")
            {
                others.append(name)
            }
        }
        bases.sort()
        snapshots.sort()
        while bases.count > 1, bases[1] <= logStartOffset {
            try Segment.remove(bases.removeFirst(), in: directory, files)
        }
        for name in others.sorted() {
            guard let base = Segment.offset(ofName: name, SegmentSummary.suffix), bases.contains(base) else {
                try files.remove(directory + "/" + name)
                continue
            }
            summaries[base] = try SegmentSummary.read(base, in: directory, files)
        }
        try clearSnapshots(bases)
        return bases
    }

    /// Removes snapshots that a power cut has brought back. Kafka's rule: one for each segment, and the newest. Any
    /// other may know of a transaction whose end is gone.
    private mutating func clearSnapshots(_ bases: [Offset]) throws(LogError) {
        let kept = Set(bases)
        let newest = snapshots.last.flatMap { $0 < bases.first ?? .zero ? nil : $0 }
        for offset in snapshots where !kept.contains(offset) && offset != newest {
            try files.remove(directory + "/" + Segment.name(offset, ProducerSnapshot.suffix))
        }
        snapshots.removeAll { !kept.contains($0) && $0 != newest }
    }

    /// Begins a log in an empty directory, instead of `run`. Not durable.
    mutating func begin() throws(LogError) {
        precondition(segments.isEmpty, "a log that has data")
        let segment = try Segment.create(.zero, in: directory, options: options, isDurable: false, files)
        segment.closeFile()
        segment.indexes = nil
        segments.append(segment)
        isClean = true
    }

    /// Does what there is to do.
    mutating func run(_ progress: RecoveryProgress? = nil) throws(LogError) {
        guard !isClean else { return }
        // A process that was killed may have left names that are not on the disk: a segment just begun, one moved away.
        // What is appended below them would go with them, or be taken for torn.
        try files.synchronizeDirectory(directory)
        let logStart = max(nextOffset, logStartOffset)
        let all = segments
        segments = []
        for (index, segment) in all.enumerated() {
            if segment.baseOffset < nextOffset, let last = segments.last, last.hasGaps {
                // Its records are in the compacted segment before it.
                try Segment.remove(segment.baseOffset, in: directory, files)
                continue
            }
            guard segment.baseOffset == nextOffset else {
                // The predecessor ends too early (or too late): to be treated as damage at its end.
                let reason = "the next segment begins at \(segment.baseOffset), not \(nextOffset)"
                try stop(before: all[index...], reason: reason)
                break
            }
            let isDurable = index < firstUnclean
            if isDurable && summaries[segment.baseOffset] == nil {
                // Not looked at: whoever reads it finds what is wrong.
                segments.append(segment)
                nextOffset = segment.endOffset
                continue
            }
            if !isDurable && producers == nil { try restore(below: nextOffset) }
            if let reason = try scan(segment, isDurable: isDurable, progress) {
                try stop(before: all[(index + 1)...], reason: reason)
                break
            }
        }
        if fence == nil && nextOffset < bound {
            fence(at: nextOffset, reason: "the log ends here")
        }
        if producers == nil { try restore(below: nextOffset) }
        if segments.isEmpty && fence == nil {
            segments.append(try Segment.create(nextOffset, in: directory, options: options, files))
        }
        result.records = max(0, logStart.distance(to: nextOffset))
        try finish()
    }

    /// The producers and epochs as they were below the first offset that is walked.
    private mutating func restore(below start: Offset) throws(LogError) {
        let restored = try ProducerTable.restore(
            segments: segments, snapshots: snapshots, below: start, directory: directory, options, files)
        producers = restored.producers
        damages = restored.damages
        epochs = LeaderEpochs.read(in: directory, files)
        epochs.removeAll(from: start)
        // An entry that cannot be right would make damage of sound batches.
        if let last = epochs.entries.last, last.epoch <= leaderEpochMax { leaderEpoch = max(leaderEpoch, last.epoch) }
    }

    /// Reads one segment, adds it, and returns what is wrong at its `sizeInBytes`, if anything is.
    private mutating func scan(
        _ segment: Segment, isDurable: Bool, _ progress: RecoveryProgress?
    ) throws(LogError) -> String? {
        let file = try segment.open()
        defer { segment.closeFile() }
        let fileBytes = segment.sizeInBytes
        segment.sizeInBytes = 0
        segment.endOffset = segment.baseOffset
        segment.indexes = SegmentIndexes(intervalBytes: options.indexIntervalBytes)
        segments.append(segment)
        if !isDurable {
            // After a failed sync the page cache may hold bytes that the disk does not, and call them clean. So: write
            // out what is dirty, drop what is cached, and judge what really comes back from the disk.
            try file.synchronize()
            files.storage.dropCache(of: file.descriptor)
        }
        var scanner = SegmentScanner(file: file, fileBytes: fileBytes, bufferBytes: SegmentScanner.scanBytes)
        defer { scanner.deallocate() }
        let summaries = summaries[segment.baseOffset] ?? []
        var hasGaps = false
        var aborted: [AbortedTransaction] = []
        var reported: Int64 = 0
        defer { if !isDurable { progress?.add(bytes: fileBytes - reported) } }
        while segment.sizeInBytes < fileBytes {
            // Epochs never fall, and none is above the one we open under: one that is, is damage.
            let epochs = leaderEpoch...max(leaderEpoch, leaderEpochMax)
            let batch = try scanner.batch(
                at: segment.sizeInBytes, expecting: nextOffset, compactedEnd: summaries.map(\.endOffset).max(),
                epochs: epochs, durableBound: bound)
            switch batch {
            case .failure(let damage):
                // What comes before can still be read.
                if hasGaps { segment.summary = summaries[0] }
                if !isDurable { try segment.setAborted(aborted) }
                return damage.reason
            case .success(let header):
                hasGaps = hasGaps || header.baseOffset != nextOffset || !header.hasConsistentCount
                let marker =
                    header.isControl && !isDurable
                    ? try scanner.marker(at: segment.sizeInBytes, bytes: header.sizeInBytes) : nil
                segment.add(header)
                if let ended = take(header, isDurable: isDurable, marker), !ended.isCommitted {
                    aborted.append(ended.transaction)
                }
                if !isDurable, segment.sizeInBytes - reported >= Int64(SegmentScanner.scanBytes) {
                    progress?.add(bytes: segment.sizeInBytes - reported)
                    reported = segment.sizeInBytes
                }
            }
        }
        if !isDurable { try segment.setAborted(aborted) }
        segment.summary = summaries.first {
            $0.endOffset == segment.endOffset && $0.headersChecksum == scanner.headersChecksum
        }
        guard hasGaps && segment.summary == nil else { return nil }
        // Nothing says which of the headers is wrong.
        segment.sizeInBytes = 0
        segment.endOffset = segment.baseOffset
        segment.indexes = SegmentIndexes(intervalBytes: options.indexIntervalBytes)
        nextOffset = segment.baseOffset
        return "the batch headers are not those that compaction wrote"
    }

    /// - Returns: the transaction that it ends, where nothing else says so.
    private mutating func take(
        _ header: RecordBatchHeader, isDurable: Bool, _ marker: EndTransactionMarker?
    ) -> EndedTransaction? {
        var ended: EndedTransaction?
        if !isDurable {
            ended = producers!.replay(header, marker)
            epochs.add(header.partitionLeaderEpoch, at: header.baseOffset)
        }
        leaderEpoch = header.partitionLeaderEpoch
        nextOffset = header.lastOffset.advanced(by: 1)
        result.batches += 1
        if header.lastOffset >= bound { result.bytesChecked += Int64(header.sizeInBytes) }
        return ended
    }

    /// Writes what belongs to the segments that were walked, and lets go of the files.
    private mutating func finish() throws(LogError) {
        segments.last?.closeFile()
        // The files of a fenced partition stay as they were found.
        guard fence == nil else { return }
        for segment in segments.dropLast() {
            segment.releaseIndexes()
            try segment.saveAborted()
        }
        // Snapshots of what is not in the log must not be met again when it has grown so far a second time.
        let stale = snapshots.filter { $0 > nextOffset }
        for offset in stale { try files.remove(directory + "/" + Segment.name(offset, ProducerSnapshot.suffix)) }
        if !stale.isEmpty { try files.synchronizeDirectory(directory) }
        snapshots.removeAll { $0 > nextOffset }
    }

    // MARK: - Damage

    /// Ends the log at `nextOffset`: by a fence, or by moving the rest away.
    private mutating func stop(before later: ArraySlice<Segment>, reason: String) throws(LogError) {
        guard nextOffset >= bound else { return fence(at: nextOffset, reason: reason) }
        result.tornReason = reason
        // From the back, so that a crash on the way leaves a log that only ends earlier.
        for segment in later.reversed() { try moveAway(segment.baseOffset) }
        guard let last = segments.last else { return }
        try cutTail(of: last)
    }

    private mutating func fence(at offset: Offset, reason: String) {
        let position = segments.last?.sizeInBytes ?? 0
        let path = segments.last?.path ?? directory
        fence = LogFence(start: offset, end: bound, path: path, filePosition: position, reason: reason)
    }

    /// Renames a whole segment.
    private mutating func moveAway(_ base: Offset) throws(LogError) {
        let path = directory + "/" + Segment.name(base)
        result.tornBytes += try files.open(path, O_RDONLY).size()
        let target = try tornPath(for: path)
        try files.rename(path, to: target)
        try Segment.removeIndexes(base, in: directory, files)
        try files.remove(directory + "/" + Segment.name(base, TransactionIndex.suffix))
        try files.synchronizeDirectory(directory)
        result.tornFiles.insert(target, at: 0)
    }

    /// Copies what follows a segment's good bytes, makes the copy durable, and only then cuts the segment.
    private mutating func cutTail(of segment: Segment) throws(LogError) {
        let file = try segment.open()
        let fileBytes = try file.size()
        guard fileBytes > segment.sizeInBytes else { return }
        let torn = try files.open(tornPath(for: file.path), O_WRONLY | O_CREAT | O_EXCL, operation: "creating")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentScanner.scanBytes, alignment: 16)
        defer { unsafe buffer.deallocate() }
        var position = segment.sizeInBytes
        while position < fileBytes {
            let count = unsafe try file.read(into: buffer, at: position)
            guard count > 0 else { break }
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
            unsafe try torn.write(bytes, at: position - segment.sizeInBytes)
            position += Int64(count)
        }
        try torn.synchronize()
        try files.synchronizeDirectory(directory)
        try file.truncate(to: segment.sizeInBytes)
        try file.synchronize()
        result.tornBytes += fileBytes - segment.sizeInBytes
        result.tornFiles.insert(torn.path, at: 0)
    }

    /// `<segment>.torn`, or the first of `.torn.1`, `.torn.2`… that is free.
    private func tornPath(for path: String) throws(LogError) -> String {
        var candidate = path + ".torn"
        var number = 0
        while try !files.isFree(candidate) {
            number += 1
            candidate = path + ".torn.\(number)"
        }
        return candidate
    }
}
