internal import Glibc
internal import RecordFormat

/// Makes damaged partitions of a stopped broker writable again: gives up what cannot be read, and nothing else.
///
/// Every sound batch keeps its offsets; the lost offsets become a gap that readers pass. A damaged file stays beside
/// the new one as `<name>.damaged`. Damage at or above a partition's recovery point is left to the next start, which
/// moves torn tails away.
/// - Threading: one thread. Holds the data directory's lock as long as it lives.
package final class LogRepair {
    /// What was, or would be, done to one segment.
    package struct Change: Sendable, CustomStringConvertible {
        /// The segment file.
        package let path: String
        /// What is given up, in order.
        package let damage: [LogInspector.Damage]
        /// Offsets that no record has any more.
        package let lostOffsets: Int64
        /// Where the old file is kept.
        package let keptAs: String

        package var description: String {
            "\(path): \(lostOffsets) offsets given up; \(damage.map(\.description).joined(separator: "; "))"
        }
    }

    private let path: String
    private let files: FileSystem
    private let lock: DirectoryLock
    private let bounds: [String: Offset]

    /// - Parameter path: A data directory that no broker has open.
    /// - Throws: `inUse` when one has.
    package init(path: String, storage: any LogStorage = SystemStorage()) throws(LogError) {
        self.path = path
        files = FileSystem(storage)
        lock = try DirectoryLock(directory: path, files)
        bounds = try LogDirectory.readOffsets(.recoveryPoints, in: path, files)
    }

    /// Repairs one partition, durably.
    /// - Parameters:
    ///   - name: Its directory's name, such as `flights-0`.
    ///   - isDryRun: Only say what would be done.
    package func repair(_ name: String, isDryRun: Bool) throws(LogError) -> [Change] {
        let directory = path + "/" + name
        let bound = bounds[name] ?? .zero
        let segments = try LogInspector.segments(in: directory, storage: files.storage)
        var changes: [Change] = []
        for (index, segment) in segments.enumerated() {
            let next = index + 1 < segments.count ? segments[index + 1].base : nil
            let isCompacted = try LogInspector.isCompacted(segment, storage: files.storage)
            let rewrite = try Rewrite(
                segment.path, segment.base, end: next, bound: bound, allowsGaps: isCompacted, files)
            guard !rewrite.damage.isEmpty else { continue }
            if !isDryRun { try replace(segment.base, rewrite, in: directory, isLast: next == nil) }
            changes.append(
                Change(
                    path: segment.path, damage: rewrite.damage, lostOffsets: rewrite.lostOffsets,
                    keptAs: segment.path + ".damaged"))
        }
        return changes
    }

    /// One rename is the moment; before it everything is as it was, but for files that a start ignores.
    private func replace(
        _ base: Offset, _ rewrite: Rewrite, in directory: String, isLast: Bool
    ) throws(LogError) {
        let path = directory + "/" + Segment.name(base)
        try copy(path, to: path + ".damaged")
        let temporary = path + Segment.cleanedSuffix
        let file = try files.open(temporary, O_RDWR | O_CREAT | O_TRUNC, operation: "creating")
        let summary = try rewrite.write(to: file)
        try file.synchronize()
        // Behind a gap nothing may be appended: a summary speaks for a file that never grows.
        if isLast, !files.exists(directory + "/" + Segment.name(summary.endOffset)) {
            _ = try files.open(
                directory + "/" + Segment.name(summary.endOffset), O_RDWR | O_CREAT, operation: "creating")
        }
        try Segment.removeIndexes(base, in: directory, files)
        let old = try SegmentSummary.read(base, in: directory, files)
        try SegmentSummary.write(old + [summary], base, in: directory, files)
        try files.rename(temporary, to: path)
        try files.synchronizeDirectory(directory)
    }

    /// A durable copy but for its name.
    private func copy(_ path: String, to target: String) throws(LogError) {
        let source = try files.open(path, O_RDONLY)
        let copy = try files.open(target, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating")
        let size = try source.size()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { unsafe buffer.deallocate() }
        var position: Int64 = 0
        while position < size {
            let count = unsafe try source.read(into: buffer, at: position)
            guard count > 0 else { break }
            unsafe try copy.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: position)
            position += Int64(count)
        }
        try copy.synchronize()
    }
}

/// A segment without its damage.
private struct Rewrite {
    private let path: String
    private let base: Offset
    private let allowsGaps: Bool
    private let files: FileSystem
    /// What cannot be read, below what was acknowledged.
    private(set) var damage: [LogInspector.Damage] = []
    private(set) var lostOffsets: Int64 = 0
    /// Sound batches end here.
    private var endOffset: Offset
    /// The segment must end here, since the next one begins there, or it was acknowledged up to there.
    private let requiredEnd: Offset

    init(
        _ path: String, _ base: Offset, end: Offset?, bound: Offset, allowsGaps: Bool, _ files: FileSystem
    ) throws(LogError) {
        (self.path, self.base, self.allowsGaps, self.files) = (path, base, allowsGaps, files)
        endOffset = base
        requiredEnd = end ?? max(bound, base)
        let inspector = try LogInspector(path: path, expecting: base, allowsGaps: allowsGaps, storage: files.storage)
        while let finding = try inspector.next() {
            guard case .damage(let found) = finding else { continue }
            // Nobody was promised what is above: a torn tail.
            if found.start >= requiredEnd, found.end == nil { break }
            damage.append(found)
            if let end = found.end { lostOffsets += found.start.distance(to: end) }
        }
        endOffset = inspector.nextOffset
        guard endOffset < requiredEnd else { return }
        if damage.last?.end != nil || damage.isEmpty {
            damage.append(
                LogInspector.Damage(
                    position: inspector.sizeInBytes, byteCount: 0, start: endOffset, end: requiredEnd,
                    reason: "the file ends here"))
        }
        lostOffsets += endOffset.distance(to: requiredEnd)
    }

    /// Writes the sound batches, and an empty one in the place of a lost end.
    func write(to file: LogFile) throws(LogError) -> SegmentSummary {
        var summary = SegmentSummary(endOffset: base, cleanedOffset: base)
        var epoch = LeaderEpoch.zero
        let inspector = try LogInspector(path: path, expecting: base, allowsGaps: allowsGaps, storage: files.storage)
        while let finding = try inspector.next() {
            guard case .batch(let header, _) = finding else { continue }
            let bytes = unsafe inspector.withBatch(header) { unsafe [UInt8]($0) }
            epoch = header.partitionLeaderEpoch
            try append(bytes, header.lastOffset, to: file, &summary)
        }
        while summary.endOffset < requiredEnd {
            let count = min(summary.endOffset.distance(to: requiredEnd), Int64(Int32.max))
            let filler = RecordBatch.empty(baseOffset: summary.endOffset, leaderEpoch: epoch, offsets: Int32(count))
            try append(filler, summary.endOffset.advanced(by: count - 1), to: file, &summary)
        }
        return summary
    }

    private func append(
        _ batch: [UInt8], _ last: Offset, to file: LogFile, _ summary: inout SegmentSummary
    ) throws(LogError) {
        try file.write(batch, at: summary.sizeInBytes)
        summary.sizeInBytes += Int64(batch.count)
        summary.endOffset = last.advanced(by: 1)
        summary.headersChecksum = unsafe batch.withUnsafeBytes { bytes in
            unsafe CRC32C.extend(
                summary.headersChecksum, with: .init(rebasing: bytes[..<RecordBatchHeader.byteCount]))
        }
    }
}
