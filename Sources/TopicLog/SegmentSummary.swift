internal import RecordFormat

/// What vouches for a compacted segment, whose batches cannot vouch for each other's offsets any more.
///
/// `<base>.compacted` beside the log holds one line for each, in the checkpoint format: `bytes end cleaned crc`. It is
/// written before the compacted file takes its place, so it may have two: for what is there, and for what comes.
struct SegmentSummary: Equatable {
    /// The size of the file.
    var sizeInBytes: Int64 = 0
    /// The offset after the last batch.
    var endOffset = Offset.zero
    /// How far compaction has seen the segment.
    var cleanedOffset = Offset.zero
    /// CRC-32C of all batch headers, so of base offsets and epochs, which the batches' own checksums do not cover.
    var headersChecksum: UInt32 = 0

    static let suffix = ".compacted"

    static func file(_ baseOffset: Offset) -> CheckpointFile {
        CheckpointFile(name: Segment.stem(baseOffset) + suffix, fieldCount: 4)
    }

    /// The lines beside a segment; none when it was never compacted.
    static func read(_ baseOffset: Offset, in directory: String, _ files: FileSystem) throws(LogError)
        -> [SegmentSummary]
    {
        let file = file(baseOffset)
        var all: [SegmentSummary] = []
        for line in try file.read(in: directory, files) ?? [] {
            guard let size = Int64(line[0]), let end = Int64(line[1]), let cleaned = Int64(line[2]),
                let sum = UInt32(line[3])
            else { throw file.fault(directory + "/" + file.name, "line '\(line.joined(separator: " "))'") }
            all.append(
                SegmentSummary(
                    sizeInBytes: size, endOffset: Offset(end), cleanedOffset: Offset(cleaned), headersChecksum: sum))
        }
        return all
    }

    /// Replaces the lines beside a segment, durably.
    static func write(
        _ summaries: [SegmentSummary], _ baseOffset: Offset, in directory: String, _ files: FileSystem
    ) throws(LogError) {
        let lines = summaries.map { "\($0.sizeInBytes) \($0.endOffset) \($0.cleanedOffset) \($0.headersChecksum)" }
        try file(baseOffset).write(lines, in: directory, files)
    }
}
