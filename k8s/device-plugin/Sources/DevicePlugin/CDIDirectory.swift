internal import CNetlink
internal import Glibc
internal import Inventory
internal import Resources

/// Our files in the directory that container runtimes read.
///
/// They outlive the plugin: a container that starts again while it is away needs them.
struct CDIDirectory: Sendable {
    let path: String
    /// `/dev`, or what stands for it.
    let deviceRoot: String

    /// Whether files can be put there.
    var isWritable: Bool { unsafe access(path, W_OK | X_OK) == 0 }

    /// Puts a spec in place in one step, or removes ours when it has no device.
    func update(_ pool: Pool) throws(Errno) {
        let spec = CDISpec(pool, deviceRoot: deviceRoot)
        guard CDISpec.isNeeded(pool) else { return remove(pool.definition.name) }
        // Runtimes read *.json and *.yaml only.
        let temporary = "\(path)/.\(spec.fileName).new"
        let fd = unsafe cnetlink_open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw Errno() }
        var text = spec.text
        let written = text.withUTF8 { unsafe write(fd, $0.baseAddress, $0.count) }
        let error = Errno()
        close(fd)
        guard written == text.utf8.count else {
            unsafe unlink(temporary)
            throw error
        }
        guard unsafe rename(temporary, "\(path)/\(spec.fileName)") == 0 else { throw Errno() }
    }

    /// Removes the spec of a resource that is no more.
    func remove(_ resource: String) {
        let kind = CDISpec.kind(resource)
        let name = kind.map { $0 == "/" ? "_" : String($0) }.joined() + ".json"
        // Somebody else's file of that name stays: ours says our kind.
        guard let text = FileTree(path).read(name), text.contains("\"kind\":\"\(kind)\"") else { return }
        unsafe unlink("\(path)/\(name)")
    }
}
