internal import CLinux
internal import Glibc

/// An open file. The descriptor lives as long as anybody holds this object: a flush ticket, for instance, may outlive
/// the log it came from.
package final class LogFile: Sendable {
    /// Open until `deinit`; never closed earlier.
    package let descriptor: Int32
    /// Where it was opened, for messages.
    package let path: String

    /// Takes ownership of the descriptor.
    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        // Nothing to be done about an error here: what must be durable was synced before.
        _ = close(descriptor)
    }

    /// Opens or creates a file, close-on-exec.
    static func open(_ path: String, _ flags: Int32, operation: String = "opening") throws(LogError) -> LogFile {
        if flags & O_CREAT != 0 { try FaultPlan.check("creating", path) }
        while true {
            let descriptor = unsafe clinux_open(path, flags | O_CLOEXEC, 0o640)
            if descriptor >= 0 { return LogFile(descriptor: descriptor, path: path) }
            if errno != EINTR { throw LogError(errno: errno, operation, path) }
        }
    }

    /// The size in bytes now.
    func size() throws(LogError) -> Int64 {
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else { throw LogError(errno: errno, "sizing", path) }
        return Int64(end)
    }

    /// Reads until `buffer` is full or the file ends.
    /// - Returns: bytes read.
    func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) throws(LogError) -> Int {
        var done = 0
        while done < buffer.count {
            let target = unsafe buffer.baseAddress! + done
            let got = unsafe pread(descriptor, target, buffer.count - done, off_t(position) + off_t(done))
            if got == 0 { break }
            if got < 0 {
                if errno == EINTR { continue }
                throw LogError(errno: errno, "reading \(buffer.count) bytes at \(position) from", path)
            }
            done += got
        }
        return done
    }

    /// Writes all of `bytes`.
    func write(_ bytes: UnsafeRawBufferPointer, at position: Int64) throws(LogError) {
        try FaultPlan.check("writing", path)
        var done = 0
        while done < bytes.count {
            let source = unsafe bytes.baseAddress! + done
            let put = unsafe pwrite(descriptor, source, bytes.count - done, off_t(position) + off_t(done))
            if put < 0 {
                if errno == EINTR { continue }
                throw LogError(errno: errno, "writing \(bytes.count) bytes to", path)
            }
            done += put
        }
    }

    /// Makes contents and size durable.
    func synchronize() throws(LogError) {
        try FaultPlan.check("syncing", path)
        guard fdatasync(descriptor) == 0 else { throw LogError(errno: errno, "syncing", path) }
    }

    /// Cuts the file.
    func truncate(to size: Int64) throws(LogError) {
        try FaultPlan.check("truncating", path)
        guard ftruncate(descriptor, off_t(size)) == 0 else {
            throw LogError(errno: errno, "truncating to \(size) bytes", path)
        }
    }
}
