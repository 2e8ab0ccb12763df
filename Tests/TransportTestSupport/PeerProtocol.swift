package import RDMATransport

/// What a test asks of a peer in another process: one message each; the first byte says what.
package enum PeerCommand: UInt8 {
    /// Answers with the rest of the message.
    case echo = 1
    /// Exposes `count u32` bytes of ``pattern(_:seed:)`` with `seed u8` for reading; answers with the region.
    case exposeForReading
    /// Exposes `count u32` zero bytes for writing; answers with the region.
    case exposeForWriting
    /// Answers with a checksum of the region for writing.
    case checksum
    /// Reads `key u32, address u64` of the asker's memory and prints the completion's status.
    case attackRead
    /// The same with a write.
    case attackWrite
    /// The same with a compare-and-swap.
    case attackAtomic
    /// Sends `count u32` messages of 64 bytes as fast as the credits allow.
    case flood
    /// Disconnects.
    case leave
    /// Takes messages and never releases them.
    case hoard
}

package func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    unsafe withUnsafeBytes(of: value.littleEndian) { unsafe Array($0) }
}

package func integer<T: FixedWidthInteger>(_ bytes: [UInt8], at offset: Int, as: T.Type = T.self) -> T {
    unsafe bytes.withUnsafeBytes { unsafe T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
}

package func encode(_ region: RemoteRegion) -> [UInt8] {
    littleEndian(region.key) + littleEndian(region.address) + littleEndian(region.byteCount)
}

package func decodeRegion(_ bytes: [UInt8]) -> RemoteRegion {
    RemoteRegion(key: integer(bytes, at: 0), address: integer(bytes, at: 4), byteCount: integer(bytes, at: 12))
}

/// Order-dependent sum of bytes.
package func checksum(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
