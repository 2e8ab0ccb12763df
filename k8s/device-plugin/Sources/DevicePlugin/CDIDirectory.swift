internal import CNetlink
internal import Glibc
internal import Inventory
internal import Resources

/// Our files in the directory that container runtimes read.
///
/// They outlive the plugin, and the resource in its configuration: a container that starts again needs them.
struct CDIDirectory: Sendable {
    let path: String
    /// `/dev`, or what stands for it.
    let deviceRoot: String

    /// Whether files can be put there.
    var isWritable: Bool { unsafe access(path, W_OK | X_OK) == 0 }

    /// Puts a spec in place in one step where it is not there as it has to be; removes ours when it has no device.
    func update(_ pool: Pool) throws(Errno) {
        let spec = CDISpec(pool, deviceRoot: deviceRoot)
        guard CDISpec.isNeeded(pool) else { return remove(spec) }
        let file = "\(path)/\(spec.fileName)"
        let bytes = Array(spec.text.utf8)
        if holds(file, bytes) { return }
        // Runtimes read *.json and *.yaml only.
        let temporary = "\(path)/.\(spec.fileName).new"
        do throws(Errno) {
            try write(bytes, to: temporary)
            guard unsafe rename(temporary, file) == 0 else { throw Errno() }
        } catch {
            unsafe unlink(temporary)
            throw error
        }
    }

    private func write(_ bytes: [UInt8], to path: String) throws(Errno) {
        let fd = unsafe cnetlink_open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw Errno() }
        defer { close(fd) }
        var done = 0
        while done < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(fd, $0.baseAddress! + done, $0.count - done) }
            guard count > 0 else { throw Errno(code: count == 0 ? EIO : errno) }
            done += count
        }
    }

    /// Whether a file has these bytes and no others.
    private func holds(_ path: String, _ bytes: [UInt8]) -> Bool {
        let fd = unsafe cnetlink_open_file(path, O_RDONLY | O_CLOEXEC, 0)
        guard fd >= 0 else { return false }
        defer { close(fd) }
        // One more than there should be.
        let found = unsafe [UInt8](unsafeUninitializedCapacity: bytes.count + 1) { buffer, count in
            count = max(0, unsafe read(fd, buffer.baseAddress, buffer.count))
        }
        return found == bytes
    }

    private func remove(_ spec: CDISpec) {
        // Somebody else's file of that name stays: ours says our kind.
        guard let text = FileTree(path).read(spec.fileName), text.contains("\"kind\":\"\(spec.kind)\"") else { return }
        unsafe unlink("\(path)/\(spec.fileName)")
    }
}
