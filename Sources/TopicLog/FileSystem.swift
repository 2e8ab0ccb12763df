internal import Glibc

/// The log's file operations: those of a `LogStorage`, resumed after interruptions, with errors that name the path.
package struct FileSystem: Sendable {
    let storage: any LogStorage

    init(_ storage: any LogStorage) { self.storage = storage }

    /// Opens or creates a file.
    func open(_ path: String, _ flags: Int32, operation: String = "opening") throws(LogError) -> LogFile {
        while true {
            let descriptor = storage.open(path, flags)
            if descriptor >= 0 { return LogFile(descriptor: descriptor, path: path, storage: storage) }
            if descriptor != -EINTR { throw LogError(errno: -descriptor, operation, path) }
        }
    }

    /// Creates a directory. Its parent must be synced for it to be durable.
    /// - Returns: false when there is one already.
    func createDirectory(_ path: String) throws(LogError) -> Bool {
        let result = storage.createDirectory(path)
        if result == -EEXIST { return false }
        try check(result, "creating directory", path)
        return true
    }

    /// Makes the names in a directory durable.
    func synchronizeDirectory(_ path: String) throws(LogError) {
        try check(storage.synchronizeDirectory(path), "syncing directory", path)
    }

    func rename(_ old: String, to new: String) throws(LogError) {
        try check(storage.rename(old, to: new), "renaming to \(new)", old)
    }

    /// Removes a file; nothing happens when there is none.
    func remove(_ path: String) throws(LogError) {
        let result = storage.remove(path)
        if result != -ENOENT { try check(result, "removing", path) }
    }

    /// The names in a directory, sorted, without `.` and `..`.
    func names(in path: String) throws(LogError) -> [String] {
        var names: [String] = []
        try check(storage.names(in: path) { names.append($0) }, "listing", path)
        return names.sorted()
    }

    /// Hands over the names in a directory, in no order.
    func forEachName(in path: String, _ body: (String) -> Void) throws(LogError) {
        try check(storage.names(in: path, body), "listing", path)
    }

    /// The size of a file.
    func size(of path: String) throws(LogError) -> Int64 {
        let size = storage.size(at: path)
        guard size >= 0 else { throw LogError(errno: Int32(-size), "sizing", path) }
        return size
    }

    /// Whether anything has this path. An error counts as existing: nothing is overwritten in doubt.
    func exists(_ path: String) -> Bool { storage.exists(path) != -ENOENT }

    /// Whether nothing has this path, certainly.
    func isFree(_ path: String) throws(LogError) -> Bool {
        let result = storage.exists(path)
        if result == -ENOENT { return true }
        try check(result, "looking for", path)
        return false
    }

    /// Removes a directory and the files in it; nothing happens when there is none. Partition directories are flat.
    func removeDirectory(_ path: String) throws(LogError) {
        guard exists(path) else { return }
        for name in try names(in: path) { try remove(path + "/" + name) }
        try check(storage.removeDirectory(path), "removing directory", path)
    }

    /// A small file's bytes, or nil when there is none.
    func contents(of path: String) throws(LogError) -> [UInt8]? {
        guard exists(path) else { return nil }
        let file = try open(path, O_RDONLY)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(try file.size()), alignment: 1)
        defer { unsafe memory.deallocate() }
        let count = unsafe try file.read(into: memory, at: 0)
        return unsafe [UInt8](memory[..<count])
    }

    /// Replaces a file as a whole: after a crash it has the old contents or the new, never a part.
    /// - Parameter name: A file in `directory`; `<name>.tmp` beside it is used on the way.
    func replace(_ name: String, in directory: String, with bytes: [UInt8]) throws(LogError) {
        let path = directory + "/" + name
        let temporary = path + ".tmp"
        let file = try open(temporary, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating")
        try file.write(bytes, at: 0)
        try file.synchronize()
        try rename(temporary, to: path)
        try synchronizeDirectory(directory)
    }

    private func check(_ result: Int32, _ operation: @autoclosure () -> String, _ path: String) throws(LogError) {
        guard result >= 0 else { throw LogError(errno: -result, operation(), path) }
    }
}

extension String {
    /// `number` with leading zeros, as segments are named.
    static func zeroPadded(_ number: Int64, to width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: Swift.max(0, width - digits.count)) + digits
    }
}
