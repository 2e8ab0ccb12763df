internal import CLinux
internal import Glibc

/// Keeps a second broker out of a data directory: an `flock` on `.lock`, which holds our process id for messages.
///
/// The kernel drops the lock when the process ends, however it ends.
final class DirectoryLock {
    private var file: LogFile?

    init(directory: String) throws(LogError) {
        let file = try LogFile.open(directory + "/.lock", O_RDWR | O_CREAT)
        while flock(file.descriptor, LOCK_EX | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            guard errno == EWOULDBLOCK else { throw LogError(errno: errno, "locking", file.path) }
            let bytes = try FileSystem.contents(of: file.path) ?? []
            let owner = bytes.isEmpty ? "" : " \(String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" })"
            throw LogError(
                .inUse, operation: "locking", path: directory,
                advice: "data directory \(directory) is already in use by process\(owner)")
        }
        self.file = file
        try file.truncate(to: 0)
        let text = [UInt8]("\(getpid())\n".utf8)
        var failure: LogError?
        unsafe text.withUnsafeBytes { bytes in
            do throws(LogError) { unsafe try file.write(bytes, at: 0) } catch { failure = error }
        }
        if let failure { throw failure }
    }

    /// Gives the directory up before the object goes.
    func release() {
        file = nil
    }
}
