/// Reads Kafka's primitive types. Every read is checked against the end, every count against the bytes that are left.
struct BigEndianReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    private var remaining: Int { bytes.count - position }

    mutating func integer<T: FixedWidthInteger>(_: T.Type = T.self) throws(ConsumerProtocolError) -> T {
        let size = T.bitWidth / 8
        guard remaining >= size else {
            throw ConsumerProtocolError(description: "it ends \(size - remaining) bytes early")
        }
        defer { position += size }
        return bytes[position..<position + size].reduce(0) { $0 << 8 | T($1) }
    }

    mutating func version() throws(ConsumerProtocolError) -> Int16 {
        let version: Int16 = try integer()
        guard version >= 0 else { throw ConsumerProtocolError(description: "version \(version)") }
        return version
    }

    /// Of an array whose elements have at least so many bytes.
    mutating func count(elementBytesMin: Int) throws(ConsumerProtocolError) -> Int {
        let count = Int(try integer(Int32.self))
        guard count >= 0, count <= remaining / elementBytesMin else {
            throw ConsumerProtocolError(description: "\(count) elements in \(remaining) bytes")
        }
        return count
    }

    mutating func string() throws(ConsumerProtocolError) -> String {
        let count = Int(try integer(Int16.self))
        guard count >= 0, count <= remaining else {
            throw ConsumerProtocolError(description: "a string of \(count) bytes where \(remaining) are left")
        }
        defer { position += count }
        guard let text = String(validating: bytes[position..<position + count], as: UTF8.self) else {
            throw ConsumerProtocolError(description: "a string that is not UTF-8")
        }
        return text
    }

    /// Bytes, or null, that nobody looks at.
    mutating func skipBytes() throws(ConsumerProtocolError) {
        let count = Int(try integer(Int32.self))
        guard count >= -1, count <= remaining else {
            throw ConsumerProtocolError(description: "\(count) bytes where \(remaining) are left")
        }
        position += max(count, 0)
    }

    mutating func partitions() throws(ConsumerProtocolError) -> [TopicPartition] {
        var partitions: [TopicPartition] = []
        for _ in 0..<(try count(elementBytesMin: 6)) {
            let topic = try string()
            for _ in 0..<(try count(elementBytesMin: 4)) {
                let partition: Int32 = try integer()
                guard partition >= 0 else { throw ConsumerProtocolError(description: "partition \(partition)") }
                partitions.append(TopicPartition(topic, Int(partition)))
            }
        }
        return partitions
    }
}

/// Writes Kafka's primitive types.
struct BigEndianWriter {
    private(set) var bytes: [UInt8] = []

    mutating func integer<T: FixedWidthInteger>(_ value: T) {
        for shift in stride(from: T.bitWidth - 8, through: 0, by: -8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> T(shift)))
        }
    }

    /// At most 32767 bytes: topic names are shorter.
    mutating func string(_ text: String) {
        integer(Int16(text.utf8.count))
        bytes += Array(text.utf8)
    }

    /// By topic, in the order given.
    mutating func partitions(_ partitions: [TopicPartition]) {
        var topics: [String] = []
        var numbers: [String: [Int32]] = [:]
        for partition in partitions {
            if numbers[partition.topic] == nil { topics.append(partition.topic) }
            numbers[partition.topic, default: []].append(Int32(partition.partition))
        }
        integer(Int32(topics.count))
        for topic in topics {
            string(topic)
            integer(Int32(numbers[topic]!.count))
            for number in numbers[topic]! { integer(number) }
        }
    }
}
