internal import Glibc
internal import RecordFormat

/// Brings a partition's directory into order after any kind of stop.
///
/// A batch is bad when it is cut, fails its checksum, or does not follow its predecessor. Below the bound that is
/// corruption of acknowledged data: the log is fenced there and no file is touched. At or above it nobody was promised
/// anything: the log ends there, and the rest is moved to `.torn` files, because it may still interest somebody.
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
    private(set) var producers: ProducerTable
    private(set) var fence: LogFence?
    private(set) var result = PartitionRecovery()

    private var leaderEpoch = LeaderEpoch.zero
    /// What may vouch for compacted segments, by their base offset.
    private var summaries: [Offset: [SegmentSummary]] = [:]
    /// 1 MiB: a read costs little beside its checksum. Headers alone are hopped over in smaller steps.
    private static let scanBytes = 1 << 20, hopBytes = 1 << 16

    init(
        directory: String, options: LogOptions, bound: Offset, logStartOffset: Offset, leaderEpochMax: LeaderEpoch,
        _ files: FileSystem
    ) {
        self.files = files
        self.directory = directory
        self.options = options
        self.bound = max(bound, logStartOffset)
        self.logStartOffset = logStartOffset
        self.leaderEpochMax = leaderEpochMax
        producers = ProducerTable(producersMax: options.producersMax)
    }

    mutating func run() throws(LogError) {
        let bases = try clear()
        nextOffset = bases.first ?? logStartOffset
        for (index, base) in bases.enumerated() {
            if base < nextOffset, let last = segments.last, last.hasGaps {
                // Its records are in the compacted segment before it.
                try Segment.remove(base, in: directory, files)
                continue
            }
            guard base == nextOffset else {
                // The predecessor ends too early (or too late): to be treated as damage at its end.
                let reason = "the next segment begins at \(base), not \(nextOffset)"
                try stop(before: Array(bases[index...]), reason: reason)
                break
            }
            let isSealed = index + 1 < bases.count
            let isDurable = isSealed && bases[index + 1] <= bound
            if let reason = try scan(base, isDurable: isDurable) {
                try stop(before: Array(bases[(index + 1)...]), reason: reason)
                break
            }
        }
        if fence == nil && nextOffset < bound {
            fence(at: nextOffset, reason: "the log ends here")
        }
        if segments.isEmpty && fence == nil {
            segments.append(try Segment.create(nextOffset, in: directory, options: options, files))
        }
    }

    /// Removes what a cut compaction or deletion has left, and reads what vouches for compacted segments.
    /// - Returns: the segments' base offsets, in order.
    private mutating func clear() throws(LogError) -> [Offset] {
        let names = try files.names(in: directory)
        var bases = names.compactMap(Segment.baseOffset(ofName:))
        while bases.count > 1, bases[1] <= logStartOffset {
            try Segment.remove(bases.removeFirst(), in: directory, files)
        }
        let kept = Set(bases)
        for name in names {
            if name.hasSuffix(Segment.cleanedSuffix) || name.hasSuffix(SegmentSummary.suffix + ".tmp") {
                try files.remove(directory + "/" + name)
            } else if name.hasSuffix(SegmentSummary.suffix) {
                let stem = name.dropLast(SegmentSummary.suffix.count)
                guard let base = Segment.baseOffset(ofName: stem + ".log"), kept.contains(base) else {
                    try files.remove(directory + "/" + name)
                    continue
                }
                try readSummaries(of: base)
            }
        }
        return bases
    }

    /// A summary speaks for a file of its size; what was compacted was durable.
    private mutating func readSummaries(of base: Offset) throws(LogError) {
        let size = try files.open(directory + "/" + Segment.name(base), O_RDONLY).size()
        let valid = try SegmentSummary.read(base, in: directory, files).filter { $0.sizeInBytes == size }
        guard !valid.isEmpty else { return }
        summaries[base] = valid
        bound = valid.reduce(bound) { max($0, $1.endOffset) }
    }

    /// Reads one segment, adds it, and returns what is wrong at its `sizeInBytes`, if anything is.
    private mutating func scan(_ base: Offset, isDurable: Bool) throws(LogError) -> String? {
        let file = try files.open(directory + "/" + Segment.name(base), O_RDWR)
        let fileBytes = try file.size()
        let segment = Segment(baseOffset: base, file: file, options: options)
        segments.append(segment)
        if !isDurable {
            // After a failed sync the page cache may hold bytes that the disk does not, and call them clean. So: write
            // out what is dirty, drop what is cached, and judge what really comes back from the disk.
            try file.synchronize()
            files.storage.dropCache(of: file.descriptor)
        }
        var scanner = SegmentScanner(
            file: file, fileBytes: fileBytes, bufferBytes: isDurable ? Self.hopBytes : Self.scanBytes)
        defer { scanner.deallocate() }
        let summaries = summaries[base] ?? []
        var hasGaps = false
        while segment.sizeInBytes < fileBytes {
            // Epochs never fall, and none is above the one we open under: one that is, is damage.
            let epochs = leaderEpoch...max(leaderEpoch, leaderEpochMax)
            let batch = try scanner.batch(
                at: segment.sizeInBytes, expecting: nextOffset, isCompacted: !summaries.isEmpty, epochs: epochs,
                checksum: !isDurable)
            switch batch {
            case .failure(let damage):
                // What comes before can still be read.
                if hasGaps { segment.summary = summaries[0] }
                return damage.reason
            case .success(let header):
                hasGaps = hasGaps || header.baseOffset != nextOffset || !header.hasConsistentCount
                segment.add(header)
                producers.replay(header)
                leaderEpoch = header.partitionLeaderEpoch
                nextOffset = segment.endOffset
                result.batches += 1
                result.records += Int64(header.recordCount)
                if !isDurable { result.bytesChecked += Int64(header.sizeInBytes) }
            }
        }
        segment.summary = summaries.first {
            $0.endOffset == segment.endOffset && $0.headersChecksum == scanner.headersChecksum
        }
        guard hasGaps && segment.summary == nil else { return nil }
        // Nothing says which of the headers is wrong.
        segments[segments.count - 1] = Segment(baseOffset: base, file: file, options: options)
        nextOffset = base
        return "the batch headers are not those that compaction wrote"
    }

    /// Ends the log at `nextOffset`: by a fence, or by moving the rest away.
    private mutating func stop(before later: [Offset], reason: String) throws(LogError) {
        guard nextOffset >= bound else { return fence(at: nextOffset, reason: reason) }
        result.tornReason = reason
        // From the back, so that a crash on the way leaves a log that only ends earlier.
        for base in later.reversed() { try moveAway(base) }
        guard let last = segments.last else { return }
        try cutTail(of: last)
    }

    private mutating func fence(at offset: Offset, reason: String) {
        let position = segments.last?.sizeInBytes ?? 0
        let path = segments.last?.file.path ?? directory
        fence = LogFence(start: offset, end: bound, path: path, filePosition: position, reason: reason)
    }

    /// Renames a whole segment.
    private mutating func moveAway(_ base: Offset) throws(LogError) {
        let path = directory + "/" + Segment.name(base)
        result.tornBytes += try files.open(path, O_RDONLY).size()
        let target = tornPath(for: path)
        try files.rename(path, to: target)
        try files.remove(String(path.dropLast(".log".count)) + ".index")
        try files.synchronizeDirectory(directory)
        result.tornFiles.insert(target, at: 0)
    }

    /// Copies what follows a segment's good bytes, makes the copy durable, and only then cuts the segment.
    private mutating func cutTail(of segment: Segment) throws(LogError) {
        let fileBytes = try segment.file.size()
        guard fileBytes > segment.sizeInBytes else { return }
        let torn = try files.open(
            tornPath(for: segment.file.path), O_WRONLY | O_CREAT | O_EXCL, operation: "creating")
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.scanBytes, alignment: 16)
        defer { unsafe buffer.deallocate() }
        var position = segment.sizeInBytes
        while position < fileBytes {
            let count = unsafe try segment.file.read(into: buffer, at: position)
            guard count > 0 else { break }
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: buffer[..<count])
            unsafe try torn.write(bytes, at: position - segment.sizeInBytes)
            position += Int64(count)
        }
        try torn.synchronize()
        try files.synchronizeDirectory(directory)
        try segment.file.truncate(to: segment.sizeInBytes)
        try segment.file.synchronize()
        result.tornBytes += fileBytes - segment.sizeInBytes
        result.tornFiles.insert(torn.path, at: 0)
    }

    /// `<segment>.torn`, or the first of `.torn.1`, `.torn.2`… that is free.
    private func tornPath(for path: String) -> String {
        var candidate = path + ".torn"
        var number = 0
        while files.exists(candidate) {
            number += 1
            candidate = path + ".torn.\(number)"
        }
        return candidate
    }
}
