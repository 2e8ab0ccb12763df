/// What members of a consumer group tell each other through the coordinator, which does not look inside: Kafka's
/// ConsumerProtocol (`ConsumerProtocolSubscription.json`, `ConsumerProtocolAssignment.json`), so that Kafka's clients
/// can be members of the same group.
///
/// ```
/// subscription | version i16 | count i32 × topic string | user data bytes or null
///              | from 1: count i32 × ( topic string | count i32 × partition i32 ) | from 2: generation i32
///              | from 3: rack string or null |
/// assignment   | version i16 | count i32 × ( topic string | count i32 × partition i32 ) | user data bytes or null |
/// ```
/// Big-endian; a string has a 16-bit length, bytes a 32-bit one, −1 is null.
enum ConsumerProtocol {
    /// The protocol type of a group of consumers.
    static let type = "consumer"
    /// What is written: 2 has the owned partitions and their generation. Newer ones are read as far as this knows them.
    static let version: Int16 = 2

    /// What a member wants and has.
    struct Subscription: Sendable, Equatable {
        /// Names of topics.
        var topics: [String]
        /// What it still has from before.
        var owned: [TopicPartition]
        /// The generation that `owned` is of; −1: unknown.
        var generation: Int32

        init(topics: [String], owned: [TopicPartition] = [], generation: Int32 = -1) {
            self.topics = topics
            self.owned = owned
            self.generation = generation
        }

        /// As bytes, in version 2.
        func encoded() -> [UInt8] {
            var writer = BigEndianWriter()
            writer.integer(ConsumerProtocol.version)
            writer.integer(Int32(topics.count))
            for topic in topics { writer.string(topic) }
            writer.integer(Int32(-1))
            writer.partitions(owned)
            writer.integer(generation)
            return writer.bytes
        }

        /// From a member's bytes of any version. What follows the fields known here is left alone.
        init(parsing bytes: [UInt8]) throws(ConsumerProtocolError) {
            var reader = BigEndianReader(bytes)
            let version = try reader.version()
            topics = []
            for _ in 0..<(try reader.count(elementBytesMin: 2)) { topics.append(try reader.string()) }
            try reader.skipBytes()
            owned = version >= 1 ? try reader.partitions() : []
            generation = version >= 2 ? try reader.integer() : -1
        }
    }

    /// An assignment as bytes, in version 0, which has all there is to say.
    static func encode(assignment: [TopicPartition]) -> [UInt8] {
        var writer = BigEndianWriter()
        writer.integer(Int16(0))
        writer.partitions(assignment)
        writer.integer(Int32(-1))
        return writer.bytes
    }

    /// What the leader gave. No bytes at all: nothing.
    static func parse(assignment bytes: [UInt8]) throws(ConsumerProtocolError) -> [TopicPartition] {
        guard !bytes.isEmpty else { return [] }
        var reader = BigEndianReader(bytes)
        _ = try reader.version()
        let partitions = try reader.partitions()
        try reader.skipBytes()
        return partitions
    }
}

/// Bytes that are no subscription or assignment.
struct ConsumerProtocolError: Error, CustomStringConvertible {
    let description: String
}
