import CNetlink
import Glibc

/// Reads a tree like `/sys` below a root of the caller's choice. What cannot be read is nil: devices come and go.
package struct FileTree: Sendable {
    /// The directory that paths are relative to.
    package let root: String

    /// A tree below `root`.
    package init(_ root: String) { self.root = root }

    /// Where `path` is on the file system.
    package func location(_ path: String) -> String { "\(root)/\(path)" }

    /// Contents without white space around them, at most 4096 bytes (sysfs gives no more).
    package func read(_ path: String) -> String? {
        let fd = unsafe cnetlink_open_file(location(path), O_RDONLY | O_CLOEXEC, 0)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        let text = unsafe String(unsafeUninitializedCapacity: 4096) { buffer in
            max(0, unsafe Glibc.read(fd, buffer.baseAddress, buffer.count))
        }
        var trimmed = text.drop(while: \.isWhitespace)
        while trimmed.last?.isWhitespace == true { trimmed.removeLast() }
        return String(trimmed)
    }

    /// Names in a directory, in order; none when it is not there.
    package func list(_ path: String) -> [String] {
        guard let directory = unsafe opendir(location(path)) else { return [] }
        defer { unsafe closedir(directory) }
        var names: [String] = []
        while let entry = unsafe readdir(directory) {
            let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Whether something is there, links followed.
    package func exists(_ path: String) -> Bool { unsafe access(location(path), F_OK) == 0 }

    /// Whether something is there and was not removed since it was mounted here.
    package func isLinked(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(location(path), &status) == 0 && status.st_nlink > 0
    }

    /// The last part of what a link leads to.
    package func linkName(_ path: String) -> String? {
        let target = unsafe withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Int(PATH_MAX)) { buffer in
            guard let base = buffer.baseAddress else { return String?.none }
            let count = unsafe readlink(location(path), base, buffer.count)
            return count > 0 ? unsafe String(decoding: buffer.prefix(count), as: UTF8.self) : nil
        }
        return target?.split(separator: "/").last.map(String.init)
    }

    /// The parts of a path with every link resolved; of the whole path, the root's parts too.
    package func realParts(_ path: String) -> [String]? {
        guard let real = unsafe realpath(location(path), nil) else { return nil }
        defer { unsafe free(real) }
        return unsafe String(cString: real).split(separator: "/").map(String.init)
    }
}
