/// Kafka's default assignment of keys to partitions.
/// Source: Apache Kafka, `Utils.murmur2` and `BuiltInPartitioner`.
public enum Partitioner {
    /// MurmurHash2, 32 bits, with Kafka's seed.
    public static func murmur2(_ key: some Collection<UInt8>) -> Int32 {
        let bytes = Array(key)
        let multiplier: UInt32 = 0x5bd1_e995
        var hash: UInt32 = 0x9747_b28c ^ UInt32(truncatingIfNeeded: bytes.count)
        var index = 0
        while index + 4 <= bytes.count {
            var word =
                UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2]) << 16
                | UInt32(bytes[index + 3]) << 24
            // The hash is arithmetic modulo 2³² by definition.
            word = word &* multiplier
            word ^= word >> 24
            word = word &* multiplier
            hash = hash &* multiplier ^ word
            index += 4
        }
        let rest = bytes.count - index
        if rest >= 3 { hash ^= UInt32(bytes[index + 2]) << 16 }
        if rest >= 2 { hash ^= UInt32(bytes[index + 1]) << 8 }
        if rest >= 1 {
            hash ^= UInt32(bytes[index])
            hash = hash &* multiplier
        }
        hash ^= hash >> 13
        hash = hash &* multiplier
        hash ^= hash >> 15
        return Int32(bitPattern: hash)
    }

    /// The partition of a key among `count`.
    public static func partition(forKey key: some Collection<UInt8>, count: Int) -> Int {
        Int(murmur2(key) & 0x7fff_ffff) % count
    }
}
