internal import RecordFormat

/// One entry of an index file: of fixed width, big-endian, and above its predecessor.
protocol IndexEntry: Equatable {
    static var byteCount: Int { get }
    /// Reads `byteCount` bytes.
    init(decoding bytes: UnsafeRawBufferPointer)
    func append(to bytes: inout [UInt8])
    /// Whether it may come right behind `previous` in a file.
    func follows(_ previous: Self) -> Bool
}

/// An entry of Kafka's `.index`: `relativeOffset u32 | position u32`. The offset is the last one of the batch that
/// begins at the position, less the segment's base.
struct OffsetEntry: IndexEntry {
    static let byteCount = 8
    var relativeOffset: UInt32
    var position: UInt32

    init(relativeOffset: UInt32, position: UInt32) {
        self.relativeOffset = relativeOffset
        self.position = position
    }

    init(decoding bytes: UnsafeRawBufferPointer) {
        relativeOffset = unsafe UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        position = unsafe UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    }

    func append(to bytes: inout [UInt8]) {
        bytes.appendBigEndian(relativeOffset)
        bytes.appendBigEndian(position)
    }

    func follows(_ previous: Self) -> Bool {
        relativeOffset > previous.relativeOffset && position > previous.position
    }
}

/// An entry of Kafka's `.timeindex`: `timestamp i64 | relativeOffset i32`. The timestamp is the largest of the segment
/// up to here; the offset is the last one of the first batch that has it, less the segment's base.
struct TimeEntry: IndexEntry {
    static let byteCount = 12
    var timestamp: Int64
    var relativeOffset: Int32

    init(timestamp: Int64, relativeOffset: Int32) {
        self.timestamp = timestamp
        self.relativeOffset = relativeOffset
    }

    init(decoding bytes: UnsafeRawBufferPointer) {
        timestamp = unsafe Int64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: Int64.self))
        relativeOffset = unsafe Int32(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: Int32.self))
    }

    func append(to bytes: inout [UInt8]) {
        bytes.appendBigEndian(timestamp)
        bytes.appendBigEndian(relativeOffset)
    }

    func follows(_ previous: Self) -> Bool {
        timestamp > previous.timestamp && relativeOffset > previous.relativeOffset
    }
}

extension [UInt8] {
    /// Appends an integer as Kafka stores it.
    mutating func appendBigEndian<T: FixedWidthInteger>(_ value: T) {
        unsafe Swift.withUnsafeBytes(of: value.bigEndian) { unsafe append(contentsOf: $0) }
    }
}

/// How many of `count` things come before the first for which `isBefore` is false; they are sorted that way.
/// - Complexity: O(log count).
func partitionPoint<Failure: Error>(
    _ count: Int, _ isBefore: (Int) throws(Failure) -> Bool
) throws(Failure) -> Int {
    var low = 0
    var high = count
    while low < high {
        let middle = (low + high) / 2
        if try isBefore(middle) { low = middle + 1 } else { high = middle }
    }
    return low
}
