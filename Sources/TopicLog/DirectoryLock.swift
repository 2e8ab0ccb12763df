internal import Glibc

/// Keeps a second broker out of a data directory: an `flock` on `.lock`, which holds our process id for messages.
///
/// The kernel drops the lock when the process ends, however it ends.
final class DirectoryLock {
    private var file: LogFile?

    init(directory: String, _ files: FileSystem) throws(LogError) {
        let file = try files.open(directory + "/.lock", O_RDWR | O_CREAT)
        while true {
            let result = files.storage.lock(file.descriptor)
            if result == 0 { break }
            if result == -EINTR { continue }
            guard result == -EWOULDBLOCK else { throw LogError(errno: -result, "locking", file.path) }
            let bytes = try files.contents(of: file.path) ?? []
            let owner = bytes.isEmpty ? "" : " \(String(decoding: bytes, as: UTF8.self).prefix { $0 != "\n" })"
            throw LogError(
                .inUse, operation: "locking", path: directory,
                advice: "data directory \(directory) is already in use by process\(owner)")
        }
        self.file = file
        try file.truncate(to: 0)
        try file.write([UInt8]("\(getpid())\n".utf8), at: 0)
    }

    deinit { release() }

    /// Gives the directory up before the object goes.
    func release() {
        if let file { file.storage.unlock(file.descriptor) }
        file = nil
    }
}
