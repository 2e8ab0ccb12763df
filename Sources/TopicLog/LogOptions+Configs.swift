extension LogOptions {
    /// These options with a topic's own settings.
    /// - Parameter configs: Kafka's names where Kafka has one, as an operator wrote them.
    /// - Throws: `invalidConfig`, naming the setting and what it may be.
    package func applying(_ configs: [String: String]) throws(LogError) -> LogOptions {
        var options = self
        for (name, value) in configs.sorted(by: { $0.key < $1.key }) { try options.set(name, value) }
        return options
    }

    private mutating func set(_ name: String, _ value: String) throws(LogError) {
        func wrong(_ what: String) -> LogError {
            LogError(
                .invalidConfig, operation: "setting", path: name, advice: "\(name) is \(what), not '\(value)'")
        }
        func number(_ range: ClosedRange<Int64>, _ what: String) throws(LogError) -> Int64 {
            guard let number = Int64(value), range.contains(number) else {
                throw wrong("\(what), \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
        // Lines of a file are made of them. A parser of numbers may well stop at a zero byte and call it a number.
        guard value.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else { throw wrong("a word without blanks") }
        switch name {
        case "flush.policy":
            guard let policy = FlushPolicy(value) else { throw wrong("group, interval:MS or none") }
            flushPolicy = policy
        case "cleanup.policy":
            guard let policy = CleanupPolicy(value) else { throw wrong("delete, compact, or both with a comma") }
            cleanupPolicy = policy
        case "segment.bytes":
            segmentBytes = Int(try number(Int64(Self.topicSegmentBytesMin)...Int64(Int32.max), "a number of bytes"))
        case "segment.ms": segmentMilliseconds = try number(1...Int64.max, "a number of milliseconds")
        case "max.message.bytes":
            batchBytesMax = Int(try number(1...Int64(Self.batchBytesCeiling), "a number of bytes"))
        case "index.interval.bytes": indexIntervalBytes = Int(try number(1...Int64(Int32.max), "a number of bytes"))
        case "retention.ms":
            retentionMilliseconds = try number(-1...Int64.max, "a number of milliseconds, -1 for ever")
        case "retention.bytes": retentionBytes = try number(-1...Int64.max, "a number of bytes, -1 for all")
        case "delete.retention.ms":
            deleteRetentionMilliseconds = try number(0...Int64.max, "a number of milliseconds")
        case "min.cleanable.dirty.ratio":
            guard let ratio = Double(value), (0...1).contains(ratio) else { throw wrong("a number from 0 to 1") }
            minCleanableRatio = ratio
        default: throw Self.unknown(name)
        }
    }

    /// What a topic stored when it could still ask for less, raised to what it can ask for now; nil when there is
    /// nothing to be raised.
    static func raised(_ name: String, _ value: String) -> String? {
        guard name == "segment.bytes", let bytes = Int(value), (1..<topicSegmentBytesMin).contains(bytes) else {
            return nil
        }
        return "\(topicSegmentBytesMin)"
    }

    static func unknown(_ name: String) -> LogError {
        LogError(
            .invalidConfig, operation: "setting", path: name,
            advice: "there is no topic config '\(name)'; there are \(configNames.joined(separator: ", "))")
    }

    /// What each topic config stands at, by name, as an operator would write it.
    package var configs: [(name: String, value: String)] {
        [
            ("cleanup.policy", "\(cleanupPolicy)"),
            ("delete.retention.ms", "\(deleteRetentionMilliseconds)"),
            ("flush.policy", "\(flushPolicy)"),
            ("index.interval.bytes", "\(indexIntervalBytes)"),
            ("max.message.bytes", "\(batchBytesMax)"),
            ("min.cleanable.dirty.ratio", "\(minCleanableRatio)"),
            ("retention.bytes", "\(retentionBytes)"),
            ("retention.ms", "\(retentionMilliseconds)"),
            ("segment.bytes", "\(segmentBytes)"),
            ("segment.ms", "\(segmentMilliseconds)"),
        ]
    }

    /// What a topic can be given.
    static let configNames = LogOptions().configs.map(\.name)
}
