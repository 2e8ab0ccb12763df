internal import CLinux
internal import Glibc

/// Directory operations, with errors that name the path.
enum FileSystem {
    /// Creates a directory. Its parent must be synced for it to be durable.
    /// - Returns: false when there is one already.
    static func createDirectory(_ path: String) throws(LogError) -> Bool {
        try FaultPlan.check("creating directory", path)
        if unsafe mkdir(path, 0o750) == 0 { return true }
        if errno == EEXIST { return false }
        throw LogError(errno: errno, "creating directory", path)
    }

    /// Makes the names in a directory durable.
    static func synchronizeDirectory(_ path: String) throws(LogError) {
        try FaultPlan.check("syncing directory", path)
        let directory = try LogFile.open(path, O_RDONLY | O_DIRECTORY)
        guard fsync(directory.descriptor) == 0 else { throw LogError(errno: errno, "syncing directory", path) }
    }

    static func rename(_ old: String, to new: String) throws(LogError) {
        try FaultPlan.check("renaming", old)
        guard unsafe Glibc.rename(old, new) == 0 else { throw LogError(errno: errno, "renaming to \(new)", old) }
    }

    /// Removes a file; nothing happens when there is none.
    static func remove(_ path: String) throws(LogError) {
        try FaultPlan.check("removing", path)
        guard unsafe unlink(path) == 0 || errno == ENOENT else { throw LogError(errno: errno, "removing", path) }
    }

    /// The names in a directory, sorted, without `.` and `..`.
    static func names(in path: String) throws(LogError) -> [String] {
        guard let stream = unsafe opendir(path) else { throw LogError(errno: errno, "listing", path) }
        defer { unsafe closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = unsafe readdir(stream) else {
                guard errno == 0 else { throw LogError(errno: errno, "listing", path) }
                return names.sorted()
            }
            // Through the address: a copy of the struct would read past a short entry's end.
            let start = unsafe UnsafeRawPointer(entry) + MemoryLayout<dirent>.offset(of: \.d_name)!
            let name = unsafe String(cString: start.assumingMemoryBound(to: CChar.self))
            if name != "." && name != ".." { names.append(name) }
        }
    }

    /// Whether anything has this path. An error counts as existing: nothing is overwritten in doubt.
    static func exists(_ path: String) -> Bool {
        unsafe access(path, F_OK) == 0 || errno != ENOENT
    }

    /// Removes a directory and the files in it; nothing happens when there is none. Partition directories are flat.
    static func removeDirectory(_ path: String) throws(LogError) {
        guard exists(path) else { return }
        for name in try names(in: path) { try remove(path + "/" + name) }
        try FaultPlan.check("removing directory", path)
        guard unsafe rmdir(path) == 0 else { throw LogError(errno: errno, "removing directory", path) }
    }

    /// A small file's bytes, or nil when there is none.
    static func contents(of path: String) throws(LogError) -> [UInt8]? {
        guard exists(path) else { return nil }
        let file = try LogFile.open(path, O_RDONLY)
        let size = Int(try file.size())
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 1)
        defer { unsafe memory.deallocate() }
        let count = unsafe try file.read(into: memory, at: 0)
        return unsafe [UInt8](memory[..<count])
    }

    /// Replaces a file as a whole: after a crash it has the old contents or the new, never a part.
    /// - Parameter name: A file in `directory`; `<name>.tmp` beside it is used on the way.
    static func replace(_ name: String, in directory: String, with text: String) throws(LogError) {
        let path = directory + "/" + name
        let temporary = path + ".tmp"
        let file = try LogFile.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating")
        let bytes = [UInt8](text.utf8)
        var failure: LogError?
        unsafe bytes.withUnsafeBytes { bytes in
            do throws(LogError) { unsafe try file.write(bytes, at: 0) } catch { failure = error }
        }
        if let failure { throw failure }
        try FaultPlan.check("syncing", temporary)
        guard fsync(file.descriptor) == 0 else { throw LogError(errno: errno, "syncing", temporary) }
        try rename(temporary, to: path)
        try synchronizeDirectory(directory)
    }
}

extension String {
    /// `number` with leading zeros, as segments are named.
    static func zeroPadded(_ number: Int64, to width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: Swift.max(0, width - digits.count)) + digits
    }
}
