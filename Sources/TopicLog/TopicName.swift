/// Kafka's rule for topic names, and the names of the directories made from them.
package enum TopicName {
    /// Kafka's limit, so that `<topic>-<partition>` stays a file name.
    static let bytesMax = 249
    static let partitionsMax = 1024

    /// What is wrong with a name, or nil.
    package static func fault(in name: String) -> String? {
        if name.isEmpty { return "it is empty" }
        if name == "." || name == ".." { return "it is reserved" }
        if name.utf8.count > bytesMax { return "it has \(name.utf8.count) bytes, the limit is \(bytesMax)" }
        guard name.utf8.allSatisfy(isLegal) else { return "only a-z, A-Z, 0-9, '.', '_' and '-' are allowed" }
        return nil
    }

    /// The directory of a partition.
    static func directory(_ topic: String, _ partition: Int) -> String { "\(topic)-\(partition)" }

    /// The topic and partition that a directory's name stands for, or nil.
    static func parse(directory name: String) -> (topic: String, partition: Int)? {
        guard let dash = name.lastIndex(of: "-") else { return nil }
        let (topic, digits) = (String(name[..<dash]), name[name.index(after: dash)...])
        guard let partition = Int(digits), String(partition) == digits, (0..<partitionsMax).contains(partition),
            fault(in: topic) == nil
        else { return nil }
        return (topic, partition)
    }

    /// What a partition's directory is renamed to while its topic is deleted.
    ///
    /// `<topic>-<partition>.delete`; a topic too long for that is cut short and told apart by a hash, in a place where
    /// no whole name can have one: `<start of topic>-<partition>.<16 hex digits>.delete`.
    static func deletedDirectory(_ topic: String, _ partition: Int) -> String {
        let plain = directory(topic, partition) + deletedSuffix
        guard plain.utf8.count > 255 else { return plain }
        // FNV-1a: it only has to tell the topics of one data directory apart.
        let hash = topic.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        let padded = String(repeating: "0", count: 16 - digits.count) + digits
        return "\(topic.prefix(200))-\(partition).\(padded)\(deletedSuffix)"
    }

    /// Whether a directory was renamed by a delete.
    static func isDeleted(directory name: String) -> Bool {
        guard name.hasSuffix(deletedSuffix) else { return false }
        let marked = name.dropLast(deletedSuffix.count)
        if parse(directory: String(marked)) != nil { return true }
        guard marked.utf8.count > 17, marked.utf8.suffix(16).allSatisfy(isHex), marked.dropLast(16).hasSuffix(".")
        else { return false }
        return parse(directory: String(marked.dropLast(17))) != nil
    }

    private static let deletedSuffix = ".delete"

    private static func isHex(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...102).contains(byte) }

    private static func isLegal(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            return true
        default:
            return false
        }
    }
}
