internal import CLinux
import Glibc

/// What travels over the Unix socket beside the rings: the handshake, shared regions, wake-ups. One packet each
/// (SOCK_SEQPACKET), little-endian.
///
/// ```
/// hello   1 | version u8 | 0 u16 | "rdms" u32 | private data …            client → server
/// accept  2 | version u8 | 0 u16 | slot count u32 | slot bytes u32 | private data …    with the rings' memfd
/// reject  3 | failure u8 | 0 u16 | private data …
/// share   4 | access u8 | 0 u16 | key u32 | byte count u64 |              with the region's memfd
/// wake    5
/// end     6 | reason u8                                                    why the sender hangs up
/// ```
enum SocketPacket {
    case hello(version: UInt8, privateData: [UInt8])
    case accept(version: UInt8, slotCount: UInt32, slotBytes: UInt32, privateData: [UInt8])
    case reject(failure: UInt8, privateData: [UInt8])
    case share(access: UInt8, key: UInt32, byteCount: UInt64)
    case wake
    case end(reason: UInt8)

    static let magic: UInt32 = 0x736d_6472
    static let version: UInt8 = 2
    static let bytesMax = 128

    var encoded: [UInt8] {
        func words(_ value: UInt64, _ count: Int) -> [UInt8] {
            (0..<count).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
        }
        switch self {
        case .hello(let version, let data): return [1, version, 0, 0] + words(UInt64(Self.magic), 4) + data
        case .accept(let version, let count, let bytes, let data):
            return [2, version, 0, 0] + words(UInt64(count), 4) + words(UInt64(bytes), 4) + data
        case .reject(let failure, let data): return [3, failure, 0, 0] + data
        case .share(let access, let key, let byteCount):
            return [4, access, 0, 0] + words(UInt64(key), 4) + words(byteCount, 8)
        case .wake: return [5]
        case .end(let reason): return [6, reason]
        }
    }

    init?(_ bytes: ArraySlice<UInt8>) {
        let bytes = Array(bytes)
        func word(_ at: Int, _ count: Int) -> UInt64 {
            (0..<count).reduce(0) { $0 | UInt64(bytes[at + $1]) << ($1 * 8) }
        }
        switch (bytes.first, bytes.count) {
        case (1, 8...) where word(4, 4) == UInt64(Self.magic):
            self = .hello(version: bytes[1], privateData: Array(bytes[8...]))
        case (2, 12...):
            self = .accept(
                version: bytes[1], slotCount: UInt32(word(4, 4)), slotBytes: UInt32(word(8, 4)),
                privateData: Array(bytes[12...]))
        case (3, 4...): self = .reject(failure: bytes[1], privateData: Array(bytes[4...]))
        case (4, 16): self = .share(access: bytes[1], key: UInt32(word(4, 4)), byteCount: word(8, 8))
        case (5, 1): self = .wake
        case (6, 2): self = .end(reason: bytes[1])
        default: return nil
        }
    }

    /// Sends without ever blocking. Returns 0 or the error number.
    func send(to socket: Int32, descriptor: Int32 = -1) -> Int32 {
        let bytes = encoded
        let sent = unsafe bytes.withUnsafeBytes {
            unsafe clinux_send_packet(socket, $0.baseAddress, $0.count, descriptor, clinux_dontwait)
        }
        return sent < 0 ? errno : 0
    }
}
