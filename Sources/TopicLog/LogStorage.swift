package import Glibc

/// The three system calls whose failure decides about data, replaceable so that tests can play a full or broken disk.
///
/// Each follows the kernel's own convention for results: the value, or the errno negated.
@safe  // The one closure with a pointer is an unsafe call.
package struct LogStorage: Sendable {
    /// `pwritev`: descriptor, vectors (at most 1024), file position. Returns bytes written, or -errno.
    package var writeVector: @Sendable (Int32, UnsafeBufferPointer<iovec>, Int64) -> Int
    /// `ftruncate`: descriptor, size. Returns 0 or -errno.
    package var truncate: @Sendable (Int32, Int64) -> Int32
    /// `fdatasync`: descriptor. Returns 0 or -errno.
    package var synchronize: @Sendable (Int32) -> Int32

    /// The real system calls.
    package static let system = LogStorage()

    /// The real system calls, to be replaced one by one.
    package init() {
        unsafe writeVector = { descriptor, vectors, position in
            let written = unsafe pwritev(descriptor, vectors.baseAddress, Int32(vectors.count), off_t(position))
            return written < 0 ? -Int(errno) : written
        }
        truncate = { ftruncate($0, off_t($1)) == 0 ? 0 : -errno }
        synchronize = { fdatasync($0) == 0 ? 0 : -errno }
    }
}
