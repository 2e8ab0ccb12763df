internal import Glibc

/// A range of a file, mapped read-only and held in memory: the source of WRITEs, and of nothing else. Peers have no
/// right to it.
///
/// The range must be wholly written, and must stay so: a page past the file's end faults, and a device goes on reading
/// the old pages after a truncation. Buffered writes behind the range are harmless. The file may be closed or removed.
/// - Ownership: unpinned and unmapped with the last reference. Whoever registers it with a fabric keeps it until it is
///   unregistered.
/// - Threading: immutable; made and dropped on any thread, off the hot path, because pages are fetched and pinned.
@safe package final class PinnedFile: @unchecked Sendable {
    /// The file's bytes. Only to be read: the mapping is read-only.
    package let bytes: UnsafeMutableRawBufferPointer
    /// For verbs; over shared memory the pages are locked, so that no access waits for a disk or meets its error.
    private let region: MemoryRegion?
    /// 0 when there is no device.
    let localKey: UInt32

    /// - Parameters:
    ///   - position: A multiple of the page size, in bytes.
    ///   - domain: Of the device that shall read it; nil for none.
    /// - Throws: where the kernel cannot pin the file (before Linux 6.2, or on DAX), or the memlock limit is met.
    package init(
        descriptor: Int32, position: Int64, byteCount: Int, domain: ProtectionDomain?
    ) throws(FabricError) {
        precondition(byteCount > 0)
        let base = unsafe mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, Int(position))
        // MAP_FAILED is -1.
        guard let base = unsafe base, Int(bitPattern: base) != -1 else {
            throw FabricError(
                .system, operation: "mmap", errorNumber: errno, "cannot map \(byteCount) bytes of a file")
        }
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: base, count: byteCount)
        unsafe self.bytes = bytes
        do throws(FabricError) {
            if let domain {
                let region = unsafe try MemoryRegion(unowned: bytes, access: [], in: domain)
                localKey = region.localKey
                self.region = consume region
            } else {
                guard unsafe mlock(base, byteCount) == 0 else {
                    throw FabricError(
                        .system, operation: "mlock", errorNumber: errno,
                        "cannot hold \(byteCount) bytes of a file in memory (see ulimit -l)")
                }
                localKey = 0
                region = nil
            }
        } catch {
            unsafe munmap(base, byteCount)
            throw error
        }
    }

    // The region is closed after this, which is harmless: the kernel has pinned pages, not addresses.
    deinit { unsafe munmap(bytes.baseAddress!, bytes.count) }
}
