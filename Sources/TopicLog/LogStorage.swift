package import Glibc

/// Every call that the log makes to a file system, replaceable so that tests can play a full or failing disk, and a
/// power cut at any moment.
///
/// The calls and their results are the kernel's: a value, or the errno negated. What is promised about them is POSIX's:
/// bytes are durable after ``synchronize(_:)``, names after ``synchronizeDirectory(_:)``, and nothing sooner.
/// - Threading: any thread.
package protocol LogStorage: Sendable {
    /// `open(2)`, close-on-exec, mode 0640. Returns a descriptor.
    func open(_ path: String, _ flags: Int32) -> Int32
    /// `close(2)`.
    func close(_ descriptor: Int32)
    /// The size of a file in bytes.
    func size(of descriptor: Int32) -> Int64
    /// The size of the file at a path: `stat(2)`.
    func size(at path: String) -> Int64
    /// `pread(2)`. Returns bytes read, 0 at the end.
    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int
    /// `pwritev(2)` of at most 1024 vectors. Returns bytes written.
    func write(_ descriptor: Int32, _ vectors: UnsafeBufferPointer<iovec>, at position: Int64) -> Int
    /// `ftruncate(2)`.
    func truncate(_ descriptor: Int32, to size: Int64) -> Int32
    /// `fdatasync(2)`: contents and size.
    func synchronize(_ descriptor: Int32) -> Int32
    /// `syncfs(2)`: everything of the file system that the descriptor is on. Returns -EOPNOTSUPP where that is not
    /// known to reach the disk and to report what was lost on the way.
    func synchronizeFileSystem(of descriptor: Int32) -> Int32
    /// Drops clean pages, so that the next read comes from the disk: `posix_fadvise(2)`. A hint.
    func dropCache(of descriptor: Int32)
    /// `flock(2)`, exclusive, without waiting.
    func lock(_ descriptor: Int32) -> Int32
    /// Gives a lock up. Closing would not, while a child of this process that has not come to its `exec` yet has a copy
    /// of the descriptor.
    func unlock(_ descriptor: Int32)
    /// `mkdir(2)`, mode 0750.
    func createDirectory(_ path: String) -> Int32
    /// `fsync(2)` of a directory: the names in it.
    func synchronizeDirectory(_ path: String) -> Int32
    /// `rename(2)`.
    func rename(_ old: String, to new: String) -> Int32
    /// `unlink(2)`.
    func remove(_ path: String) -> Int32
    /// `rmdir(2)`.
    func removeDirectory(_ path: String) -> Int32
    /// `access(2)`: 0 when there is something of that name.
    func exists(_ path: String) -> Int32
    /// `readdir(3)`: all names, in no order, without `.` and `..`.
    func names(in path: String, _ take: (String) -> Void) -> Int32
    /// 64 random bits, fit for ids that nobody else has: `getrandom(2)`.
    func random() -> UInt64
}

extension LogStorage {
    package func synchronizeFileSystem(of descriptor: Int32) -> Int32 { -EOPNOTSUPP }

    package func unlock(_ descriptor: Int32) {}

    package func random() -> UInt64 { .random(in: .min ... .max) }

    package func size(at path: String) -> Int64 {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return Int64(descriptor) }
        defer { close(descriptor) }
        return size(of: descriptor)
    }
}
