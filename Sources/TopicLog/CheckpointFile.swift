internal import Glibc

/// Kafka's checkpoint format: a version line, a count line, then so many lines of fields parted by blanks.
///
/// Replaced as a whole, so a reader sees the old one or the new one; anything that does not parse is an error.
struct CheckpointFile {
    let name: String
    /// How many fields a line has.
    let fieldCount: Int
    /// How many an earlier version wrote.
    var formerFieldCount: Int?

    /// The catalog of topics: `name partitions id`.
    static let topics = CheckpointFile(name: "topics", fieldCount: 3, formerFieldCount: 2)
    /// The id of the cluster that this broker is: one line, one field.
    static let clusterID = CheckpointFile(name: "cluster-id", fieldCount: 1)
    /// What topics were given of their own: `topic name value`.
    static let topicConfigs = CheckpointFile(name: "topic-configs", fieldCount: 3)
    /// Kafka's own: `topic partition offset`.
    static let recoveryPoints = CheckpointFile(name: "recovery-point-offset-checkpoint", fieldCount: 3)
    /// Kafka's own: `topic partition offset`, for logs that do not begin at 0.
    static let logStarts = CheckpointFile(name: "log-start-offset-checkpoint", fieldCount: 3)
    /// The first producer id that was never reserved: one line, one field.
    static let producerIDs = CheckpointFile(name: "producer-ids", fieldCount: 1)

    /// Partitions closed in order: `topic partition logEndOffset bytesOfTheLastSegment`. There only between a clean
    /// stop and the next start.
    static let cleanClose = CheckpointFile(name: "clean-close-checkpoint", fieldCount: 4)
    /// Kafka's own, in a partition's directory: `epoch offset`.
    static let leaderEpochs = CheckpointFile(name: "leader-epoch-checkpoint", fieldCount: 2)

    /// The lines, or nil when there is no file.
    func read(in directory: String, _ files: FileSystem) throws(LogError) -> [[Substring]]? {
        let path = directory + "/" + name
        guard let bytes = try files.contents(of: path) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count >= 3, lines[0] == "0", let count = Int(lines[1]), lines.count == count + 3, lines.last == ""
        else { throw fault(path, "its version or its count of lines is wrong") }
        var entries: [[Substring]] = []
        for line in lines[2..<(2 + count)] {
            let fields = line.split(separator: " ", omittingEmptySubsequences: false)
            guard fields.count == fieldCount || fields.count == formerFieldCount else {
                throw fault(path, "line '\(line)' has not \(fieldCount) fields")
            }
            entries.append(fields)
        }
        return entries
    }

    /// Replaces the file and makes it durable.
    func write(_ lines: [String], in directory: String, _ files: FileSystem) throws(LogError) {
        try files.replace(name, in: directory, with: Self.encode(lines))
    }

    /// Writes a file that can be done without, whole or in part.
    func writeUnsynced(_ lines: [String], in directory: String, _ files: FileSystem) throws(LogError) {
        let file = try files.open(directory + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating")
        try file.write(Self.encode(lines), at: 0)
    }

    private static func encode(_ lines: [String]) -> [UInt8] {
        [UInt8]("0\n\(lines.count)\n".utf8) + lines.lazy.flatMap { $0.utf8 + [UInt8(ascii: "\n")] }
    }

    /// The error for contents that make no sense.
    func fault(_ path: String, _ what: String) -> LogError {
        LogError(
            .invalidCatalog, operation: "reading", path: path,
            advice: "\(path) does not parse: \(what). Restore it from a copy; the topics' data is untouched")
    }
}
