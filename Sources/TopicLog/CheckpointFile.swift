/// Kafka's checkpoint format: a version line, a count line, then so many lines of fields parted by blanks.
///
/// Replaced as a whole, so a reader sees the old one or the new one; anything that does not parse is an error.
struct CheckpointFile {
    let name: String
    /// How many fields a line has.
    let fieldCount: Int

    /// The catalog of topics: `name partitions`.
    static let topics = CheckpointFile(name: "topics", fieldCount: 2)
    /// Kafka's own: `topic partition offset`.
    static let recoveryPoints = CheckpointFile(name: "recovery-point-offset-checkpoint", fieldCount: 3)
    /// Kafka's own: `topic partition offset`, for logs that do not begin at 0.
    static let logStarts = CheckpointFile(name: "log-start-offset-checkpoint", fieldCount: 3)
    /// The first producer id that was never reserved: one line, one field.
    static let producerIDs = CheckpointFile(name: "producer-ids", fieldCount: 1)

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
            guard fields.count == fieldCount else { throw fault(path, "line '\(line)' has not \(fieldCount) fields") }
            entries.append(fields)
        }
        return entries
    }

    /// Replaces the file and makes it durable.
    func write(_ lines: [String], in directory: String, _ files: FileSystem) throws(LogError) {
        let text = "0\n\(lines.count)\n" + lines.map { $0 + "\n" }.joined()
        try files.replace(name, in: directory, with: [UInt8](text.utf8))
    }

    /// The error for contents that make no sense.
    func fault(_ path: String, _ what: String) -> LogError {
        LogError(
            .invalidCatalog, operation: "reading", path: path,
            advice: "\(path) does not parse: \(what). Restore it from a copy; the topics' data is untouched")
    }
}
