internal import CLinux
import Glibc

/// A run of memory that can be registered with a device and shared with another process: a sealed memfd, mapped.
///
/// The size never changes (sealed against shrinking and growing), so no peer that holds the descriptor can make an
/// access of ours fault.
/// - Ownership: unmaps and closes when the last reference goes. A registration keeps its block alive.
/// - Threading: immutable after creation; the bytes are the user's to synchronise.
@safe public final class MemoryBlock: @unchecked Sendable {
    /// The memfd.
    public let descriptor: Int32
    /// The mapping.
    public let bytes: UnsafeMutableRawBufferPointer

    /// Creates zeroed memory of `byteCount` bytes, rounded up to whole pages. The name is for debugging.
    public init(byteCount: Int, name: String = "rdma") throws(FabricError) {
        precondition(byteCount > 0)
        let rounded = (byteCount + 4095) & ~4095
        let descriptor = unsafe clinux_memfd_create(name)
        guard descriptor >= 0 else {
            throw FabricError(.system, operation: "memfd_create", errorNumber: errno, "cannot create shared memory")
        }
        let seals = Int32(clinux_seal_shrink | clinux_seal_grow | clinux_seal_seal)
        guard ftruncate(descriptor, rounded) == 0, clinux_add_seals(descriptor, seals) == 0,
            let base = unsafe clinux_map(descriptor, rounded, 1)
        else {
            let number = errno
            Glibc.close(descriptor)
            throw FabricError(
                .system, operation: "mmap", errorNumber: number, "cannot map \(rounded) bytes of shared memory")
        }
        self.descriptor = descriptor
        unsafe self.bytes = UnsafeMutableRawBufferPointer(start: base, count: rounded)
    }

    /// Maps memory that a peer passed, and takes the descriptor over (closed here on failure).
    ///
    /// Refused unless it is an ordinary memfd (in a hugetlb one a punched hole faults the reader) of exactly
    /// `byteCount` bytes, sealed against shrinking and growing: a truncation would be a SIGBUS here.
    package init(fromPeer descriptor: Int32, byteCount: UInt64, writable: Bool) throws(FabricError) {
        func refuse(_ why: String) -> FabricError {
            Glibc.close(descriptor)
            return FabricError(.address, operation: "mmap", "shared memory refused: \(why)")
        }
        let needed = Int32(clinux_seal_shrink | clinux_seal_grow)
        let seals = clinux_get_seals(descriptor)
        guard seals >= 0, clinux_is_tmpfs(descriptor) == 1 else { throw refuse("not an ordinary memfd") }
        guard seals & needed == needed else {
            throw refuse("the memfd is not sealed (F_SEAL_SHRINK and F_SEAL_GROW are required)")
        }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, byteCount > 0, byteCount <= UInt64(Int.max),
            UInt64(status.st_size) == byteCount
        else {
            throw refuse("its size is \(status.st_size) bytes, \(byteCount) were announced")
        }
        guard let base = unsafe clinux_map(descriptor, Int(byteCount), writable ? 1 : 0) else {
            throw refuse("mapping failed: \(errorText(errno))")
        }
        self.descriptor = descriptor
        unsafe self.bytes = UnsafeMutableRawBufferPointer(start: base, count: Int(byteCount))
    }

    deinit {
        unsafe munmap(bytes.baseAddress!, bytes.count)
        Glibc.close(descriptor)
    }
}
