internal import CLinux
internal import Synchronization

/// One direction of a connection: a ring of fixed slots in memory that both processes map, one producer, one consumer.
///
/// ```
/// control:  consumed u32 @0 | consumer sleeps u32 @128 | producer waits u32 @256           (384 bytes)
/// slot:     sequence u32 @0 | byte count u32 @4 | kind u32 @8 | immediate u32 @12 | payload @16 …
/// ```
/// A slot's sequence is the number of its message, from 1, modulo 2³²: the message is there when the consumer finds the
/// number it expects. There is no index of the producer's, so a short message costs the transfer of the lines it lies
/// in and no other. The consumer says how far it is (`consumed`) once per quarter of the ring, and the producer looks
/// there when it has run out of slots it knows to be free. Every word has a pair of cache lines of its own, because
/// processors fetch lines by pairs.
///
/// Nothing read here is trusted: each word is loaded once and checked, and what is outside its range is a violation.
@unsafe struct SharedRing {
    static let controlBytes = 384
    static let slotHeaderBytes = 16
    /// Slots begin at a pair of cache lines.
    static let slotAlignment = 128
    static let messageKind: UInt32 = 1
    static let immediateKind: UInt32 = 2

    static let consumedOffset = 0
    static let consumerSleepsOffset = 128
    static let producerWaitsOffset = 256

    private let control: UnsafeMutableRawPointer
    private let slots: UnsafeMutableRawPointer
    private let slotMask: UInt32
    let slotBytes: Int

    /// Bytes of a ring with its control words.
    static func byteCount(slotCount: UInt32, slotBytes: Int) -> Int { unsafe controlBytes + Int(slotCount) * slotBytes }

    /// The size of slots for messages of `messageBytes`.
    static func slotBytes(forMessages messageBytes: Int) -> Int {
        unsafe (messageBytes + slotHeaderBytes + slotAlignment - 1) & ~(slotAlignment - 1)
    }

    init(at base: UnsafeMutableRawPointer, slotCount: UInt32, slotBytes: Int) {
        precondition(slotCount.nonzeroBitCount == 1)
        unsafe control = base
        unsafe slots = base + Self.controlBytes
        unsafe slotMask = slotCount - 1
        unsafe self.slotBytes = slotBytes
    }

    var slotCount: UInt32 { unsafe slotMask &+ 1 }

    @inline(__always) func slot(_ position: UInt32) -> UnsafeMutableRawPointer {
        unsafe slots + Int(position & slotMask) &* slotBytes
    }

    @inline(__always) func controlWord(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        unsafe Self.word(control, offset)
    }

    /// A word that the peer may change at any moment: an atomic load reads it exactly once.
    @inline(__always)
    static func word(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}
