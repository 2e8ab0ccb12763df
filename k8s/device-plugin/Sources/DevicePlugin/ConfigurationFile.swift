internal import CNetlink
internal import Glibc
internal import Resources

/// The configuration as a file that changes: in a ConfigMap a link is swapped, the file itself never changes.
package struct ConfigurationFile: Sendable {
    /// The file.
    package let path: String

    /// The file at `path`.
    package init(_ path: String) { self.path = path }

    /// Where to wait for changes.
    var directory: String {
        let above = path.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        return !above.isEmpty ? above : path.hasPrefix("/") ? "/" : "."
    }

    /// The file's text.
    package func text() throws(PluginError) -> String {
        let fd = unsafe cnetlink_open_file(path, O_RDONLY | O_CLOEXEC, 0)
        guard fd >= 0 else { throw PluginError("\(path): cannot be read: \(unsafe String(cString: strerror(errno)))") }
        defer { close(fd) }
        var bytes: [UInt8] = []
        while true {
            let more = unsafe [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
                count = max(0, unsafe read(fd, buffer.baseAddress, buffer.count))
            }
            if more.isEmpty { return String(decoding: bytes, as: UTF8.self) }
            bytes += more
            // One byte too many is enough to refuse it.
            if bytes.count > Configuration.bytesMax { return String(decoding: bytes, as: UTF8.self) }
        }
    }
}
