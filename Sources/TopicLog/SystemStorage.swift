internal import CLinux
package import Glibc

/// The kernel's own calls.
package struct SystemStorage: LogStorage {
    /// Holds nothing.
    package init() {}

    package func open(_ path: String, _ flags: Int32) -> Int32 {
        result(unsafe clinux_open(path, flags | O_CLOEXEC, 0o640))
    }

    package func close(_ descriptor: Int32) {
        // Nothing to be done about an error here: what must be durable was synced before.
        _ = Glibc.close(descriptor)
    }

    package func size(of descriptor: Int32) -> Int64 {
        let end = lseek(descriptor, 0, SEEK_END)
        return end < 0 ? -Int64(errno) : Int64(end)
    }

    package func size(at path: String) -> Int64 {
        var status = stat()
        return unsafe stat(path, &status) < 0 ? -Int64(errno) : Int64(status.st_size)
    }

    package func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int {
        let count = unsafe pread(descriptor, buffer.baseAddress, buffer.count, off_t(position))
        return count < 0 ? -Int(errno) : count
    }

    package func write(_ descriptor: Int32, _ vectors: UnsafeBufferPointer<iovec>, at position: Int64) -> Int {
        let count = unsafe pwritev(descriptor, vectors.baseAddress, Int32(vectors.count), off_t(position))
        return count < 0 ? -Int(errno) : count
    }

    package func truncate(_ descriptor: Int32, to size: Int64) -> Int32 { result(ftruncate(descriptor, off_t(size))) }

    package func synchronize(_ descriptor: Int32) -> Int32 { result(fdatasync(descriptor)) }

    package func synchronizeFileSystem(of descriptor: Int32) -> Int32 {
        guard Self.hasFaithfulSyncfs, clinux_is_disk_file_system(descriptor) == 1 else { return -EOPNOTSUPP }
        return result(syncfs(descriptor))
    }

    /// Since Linux 5.8 `syncfs` reports write-back errors.
    private static let hasFaithfulSyncfs: Bool = {
        var name = utsname()
        guard unsafe uname(&name) == 0 else { return false }
        let release = unsafe withUnsafeBytes(of: &name.release) { unsafe String(decoding: $0, as: UTF8.self) }
        let numbers = release.split { !$0.isNumber }.prefix(2).compactMap { Int($0) }
        return numbers.count == 2 && (numbers[0], numbers[1]) >= (5, 8)
    }()

    package func dropCache(of descriptor: Int32) { _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }

    package func lock(_ descriptor: Int32) -> Int32 { result(flock(descriptor, LOCK_EX | LOCK_NB)) }

    package func unlock(_ descriptor: Int32) { _ = flock(descriptor, LOCK_UN) }

    package func createDirectory(_ path: String) -> Int32 { result(unsafe mkdir(path, 0o750)) }

    package func synchronizeDirectory(_ path: String) -> Int32 {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY)
        guard descriptor >= 0 else { return descriptor }
        defer { close(descriptor) }
        return result(fsync(descriptor))
    }

    package func rename(_ old: String, to new: String) -> Int32 { result(unsafe Glibc.rename(old, new)) }

    package func remove(_ path: String) -> Int32 { result(unsafe unlink(path)) }

    package func removeDirectory(_ path: String) -> Int32 { result(unsafe rmdir(path)) }

    package func exists(_ path: String) -> Int32 { result(unsafe access(path, F_OK)) }

    package func names(in path: String, _ take: (String) -> Void) -> Int32 {
        guard let stream = unsafe opendir(path) else { return -errno }
        defer { unsafe closedir(stream) }
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else { return -errno }
            // Through the address: a copy of the struct would read past a short entry's end.
            let start = unsafe UnsafeRawPointer(entry) + MemoryLayout<dirent>.offset(of: \.d_name)!
            let name = unsafe String(cString: start.assumingMemoryBound(to: CChar.self))
            if name != "." && name != ".." { take(name) }
        }
    }

    /// The kernel's result, with the error in it.
    private func result(_ value: Int32) -> Int32 { value < 0 ? -errno : value }
}
