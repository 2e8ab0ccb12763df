/// Which partition a record goes to when the caller does not say.
@safe public enum Partitioner: Sendable {
    /// Kafka's default: by the key's ``murmur2(_:)``; records without a key go to one partition until its batch is
    /// full, then to the next.
    case murmur2
    /// Without regard to keys, to one partition until its batch is full, then to the next (Kafka's
    /// `partitioner.ignore.keys`).
    case uniformSticky
    /// Without regard to keys, each record to the next partition (Kafka's RoundRobinPartitioner).
    case roundRobin
    /// One's own. Called with the producer's lock held: must not block, nor call the producer.
    case custom(Choice)

    /// The partition, from 0, for a record's key and value, which are valid during the call.
    public typealias Choice =
        @Sendable (_ key: UnsafeRawBufferPointer?, _ value: UnsafeRawBufferPointer?, _ partitionCount: Int) -> Int

    /// MurmurHash2, 32 bits, with Kafka's seed. Source: Apache Kafka, `Utils.murmur2`.
    public static func murmur2(_ key: [UInt8]) -> Int32 {
        unsafe key.withUnsafeBytes { unsafe hash($0) }
    }

    /// The partition of a key among `count`, as Kafka's default partitioner has it.
    public static func partition(forKey key: [UInt8], count: Int) -> Int {
        unsafe key.withUnsafeBytes { unsafe partition(forKey: $0, count: count) }
    }

    static func partition(forKey key: UnsafeRawBufferPointer, count: Int) -> Int {
        // Kafka's toPositive: the sign bit goes.
        unsafe Int(hash(key) & 0x7fff_ffff) % count
    }

    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int32 {
        let multiplier: UInt32 = 0x5bd1_e995
        var hash = 0x9747_b28c ^ UInt32(truncatingIfNeeded: bytes.count)
        var index = 0
        // The hash is arithmetic modulo 2³² by definition.
        while index + 4 <= bytes.count {
            var word = unsafe UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self))
            word = word &* multiplier
            word ^= word >> 24
            word = word &* multiplier
            hash = hash &* multiplier ^ word
            index += 4
        }
        let rest = bytes.count - index
        if rest >= 3 { hash ^= unsafe UInt32(bytes[index + 2]) << 16 }
        if rest >= 2 { hash ^= unsafe UInt32(bytes[index + 1]) << 8 }
        if rest >= 1 {
            hash ^= unsafe UInt32(bytes[index])
            hash = hash &* multiplier
        }
        hash ^= hash >> 13
        hash = hash &* multiplier
        hash ^= hash >> 15
        return Int32(bitPattern: hash)
    }
}
