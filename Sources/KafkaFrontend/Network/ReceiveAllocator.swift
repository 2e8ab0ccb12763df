internal import Glibc
@_spi(CustomByteBufferAllocator) internal import NIOCore

/// Tells SwiftNIO where the next bytes of a connection go: to their place in the request that is being received, else
/// into a small buffer that the connections of an event loop share.
///
/// SwiftNIO keeps what it was given first, and copies on the next write: that one is always a small buffer. It reads
/// into later ones in place, as long as it reads once per turn (`maxMessagesPerRead` 1) and is told each time that
/// another size is wanted. When a version of it does otherwise, bytes land elsewhere; they are copied then, and
/// counted.
// Unchecked: SwiftNIO asks on the connection's event loop.
struct ReceiveAllocator: RecvByteBufferAllocator, @unchecked Sendable {
    let receiver: FrameReceiver

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        guard let room = unsafe receiver.room else { return receiver.scratch.take(allocator) }
        return unsafe ByteBuffer(takingOwnershipOf: room, allocator: Self.borrowing, writerIndex: 0)
    }

    func record(actualReadBytes: Int) -> Bool { true }

    func nextBufferSize() -> Int? { nil }

    /// Frees nothing: the memory belongs to a ``FramePool``. Should SwiftNIO ever copy it, the copy is lost, and
    /// counted by the bytes that landed elsewhere.
    private static let borrowing = unsafe ByteBufferAllocator(
        allocate: { unsafe malloc($0) },
        reallocate: { old, oldCount, newCount in
            let new = unsafe malloc(newCount)
            if let old = unsafe old, let new = unsafe new { unsafe memcpy(new, old, min(oldCount, newCount)) }
            return unsafe new
        },
        deallocate: { _ in },
        copy: { unsafe _ = memcpy($0, $1, $2) })
}

/// The small buffer that the connections of an event loop read into by turns.
final class ScratchBuffer {
    private var buffer: ByteBuffer?

    func take(_ allocator: ByteBufferAllocator) -> ByteBuffer {
        guard var taken = buffer.take() else { return allocator.buffer(capacity: NetworkConfiguration.firstReadBytes) }
        taken.clear()
        return taken
    }

    /// For the next one who takes it, when SwiftNIO has let go of it.
    func giveBack(_ buffer: ByteBuffer) {
        if buffer.storageCapacity <= 2 * NetworkConfiguration.firstReadBytes { self.buffer = buffer }
    }
}
