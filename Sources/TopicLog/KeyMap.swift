internal import RecordFormat

/// The last offset of each key, in bounded memory: keys are known by 128-bit hashes, 24 bytes an entry.
///
/// Two keys of one hash would be taken for one. The hash is two SipHashes under the process's random key, so nobody can
/// aim at it; among 5 million keys the chance is below 10^-25.
struct KeyMap {
    private struct Entry {
        var high: UInt64 = 0
        var low: UInt64 = 0
        var offset: Int64 = -1
    }

    private var entries: ContiguousArray<Entry>
    private(set) var count = 0
    /// Nine tenths of the entries, as Kafka's: fuller tables search for long.
    private let countMax: Int

    /// - Parameters:
    ///   - bytesMax: The most memory it takes.
    ///   - keysMax: The most keys there can be: a smaller table does then.
    init(bytesMax: Int, keysMax: Int64) {
        let capacity = max(2, min(bytesMax / MemoryLayout<Entry>.stride, Int(clamping: keysMax) / 2 * 3 + 16))
        entries = ContiguousArray(repeating: Entry(), count: capacity)
        countMax = max(1, capacity * 9 / 10)
    }

    /// Whether so many new keys fit for certain.
    func hasRoom(for keys: Int) -> Bool { keys <= countMax - count }

    /// Sets a key's last offset. Offsets come in order. There is room.
    mutating func set(_ key: UnsafeRawBufferPointer, _ offset: Offset) {
        let (high, low) = unsafe Self.hash(key)
        let slot = slot(high, low)
        if entries[slot].offset < 0 { count += 1 }
        entries[slot] = Entry(high: high, low: low, offset: offset.rawValue)
    }

    /// A key's last offset, or nil when it was never set.
    func lastOffset(of key: UnsafeRawBufferPointer) -> Offset? {
        let (high, low) = unsafe Self.hash(key)
        let offset = entries[slot(high, low)].offset
        return offset < 0 ? nil : Offset(offset)
    }

    /// The key's entry, or the free one that would be its.
    private func slot(_ high: UInt64, _ low: UInt64) -> Int {
        var slot = Int(truncatingIfNeeded: low % UInt64(entries.count))
        while entries[slot].offset >= 0, entries[slot].high != high || entries[slot].low != low {
            slot = slot + 1 == entries.count ? 0 : slot + 1
        }
        return slot
    }

    private static func hash(_ key: UnsafeRawBufferPointer) -> (UInt64, UInt64) {
        var first = Hasher()
        var second = Hasher()
        second.combine(UInt8(1))
        unsafe first.combine(bytes: key)
        unsafe second.combine(bytes: key)
        return (UInt64(bitPattern: Int64(first.finalize())), UInt64(bitPattern: Int64(second.finalize())))
    }
}
