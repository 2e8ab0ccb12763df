internal import Glibc
internal import Synchronization

/// An open file. The descriptor lives as long as anybody holds this object: a flush ticket, for instance, may outlive
/// the log it came from.
package final class LogFile: Sendable {
    /// Open until `deinit`; never closed earlier.
    package let descriptor: Int32
    /// Where it was opened, for messages.
    package let path: String
    let storage: any LogStorage
    /// See ``FilePin``.
    let pinnedEnds = Mutex<[Int64]>([])

    /// Takes ownership of the descriptor.
    init(descriptor: Int32, path: String, storage: any LogStorage) {
        self.descriptor = descriptor
        self.path = path
        self.storage = storage
    }

    deinit { storage.close(descriptor) }

    /// The size in bytes now.
    func size() throws(LogError) -> Int64 {
        let size = storage.size(of: descriptor)
        guard size >= 0 else { throw LogError(errno: Int32(-size), "sizing", path) }
        return size
    }

    /// Reads until `buffer` is full or the file ends.
    /// - Returns: bytes read.
    func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int64) throws(LogError) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let got = unsafe storage.read(descriptor, into: rest, at: position + Int64(done))
            if got == 0 { break }
            if got == -Int(EINTR) { continue }
            guard got > 0 else {
                throw LogError(errno: Int32(-got), "reading \(buffer.count) bytes at \(position) from", path)
            }
            done += got
        }
        return done
    }

    /// Writes all of `bytes`.
    func write(_ bytes: UnsafeRawBufferPointer, at position: Int64) throws(LogError) {
        var done = 0
        while done < bytes.count {
            var rest = unsafe iovec(
                iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + done), iov_len: bytes.count - done)
            let put = unsafe withUnsafePointer(to: &rest) {
                unsafe storage.write(
                    descriptor, UnsafeBufferPointer(start: $0, count: 1), at: position + Int64(done))
            }
            if put == -Int(EINTR) { continue }
            // A write of nothing would go on for ever; a full disk is the only thing that explains it.
            guard put > 0 else {
                throw LogError(errno: put == 0 ? ENOSPC : Int32(-put), "writing \(bytes.count) bytes to", path)
            }
            done += put
        }
    }

    /// Writes all of `bytes`.
    func write(_ bytes: [UInt8], at position: Int64) throws(LogError) {
        var failure: LogError?
        unsafe bytes.withUnsafeBytes { bytes in
            do throws(LogError) { unsafe try write(bytes, at: position) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Makes contents and size durable.
    func synchronize() throws(LogError) {
        let result = storage.synchronize(descriptor)
        guard result == 0 else { throw LogError(errno: -result, "syncing", path) }
    }

    /// Cuts the file.
    func truncate(to size: Int64) throws(LogError) {
        assert(pinnedEnds.withLock { $0.allSatisfy { $0 <= size } }, "cuts what is registered with a device")
        let result = storage.truncate(descriptor, to: size)
        guard result == 0 else { throw LogError(errno: -result, "truncating to \(size) bytes", path) }
    }
}
