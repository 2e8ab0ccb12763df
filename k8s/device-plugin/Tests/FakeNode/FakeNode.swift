import Glibc
import Inventory
import Synchronization

/// A directory with a made-up sysfs, devices and a kubelet's root, removed when it goes.
///
/// The trees have the links and files of a real one as far as anybody reads them; where each sample comes from stands
/// at it.
package final class FakeNode: Sendable {
    /// The directory.
    package let root: String

    private static let counter = Atomic(0)

    /// An empty node.
    package init() {
        let number = Self.counter.wrappingAdd(1, ordering: .relaxed).newValue
        root = "/tmp/rdmad-fake-node-\(getpid())-\(number)"
        for directory in ["sys/class/infiniband", "dev/infiniband", "kubelet/device-plugins", "cdi", "seats"] {
            make(directory)
        }
    }

    deinit { remove("") }

    /// `/sys`.
    package var sysfs: String { "\(root)/sys" }
    /// `/dev`.
    package var devices: String { "\(root)/dev" }
    /// `/var/lib/kubelet`.
    package var kubelet: String { "\(root)/kubelet" }

    /// Makes a directory and those above it.
    package func make(_ path: String) {
        var done = root
        unsafe mkdir(done, 0o755)
        for part in path.split(separator: "/") {
            done += "/\(part)"
            unsafe mkdir(done, 0o755)
        }
    }

    /// Writes a file and makes the directories above it.
    package func write(_ path: String, _ text: String) {
        make(path.split(separator: "/").dropLast().joined(separator: "/"))
        guard let file = unsafe fopen("\(root)/\(path)", "w") else { preconditionFailure("cannot write \(path)") }
        unsafe fputs(text, file)
        unsafe fclose(file)
    }

    /// Makes a link to another path of this node.
    package func link(_ path: String, to target: String) {
        make(path.split(separator: "/").dropLast().joined(separator: "/"))
        unsafe unlink("\(root)/\(path)")
        unsafe symlink("\(root)/\(target)", "\(root)/\(path)")
    }

    /// Renames.
    package func move(_ path: String, to target: String) { unsafe rename("\(root)/\(path)", "\(root)/\(target)") }

    /// Removes a file or a tree.
    package func remove(_ path: String) {
        let full = path.isEmpty ? root : "\(root)/\(path)"
        var status = stat()
        guard unsafe lstat(full, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in FileTree(full).list("") { remove(path.isEmpty ? name : "\(path)/\(name)") }
        }
        unsafe Glibc.remove(full)
    }

    /// Whether something is there.
    package func exists(_ path: String) -> Bool { unsafe access("\(root)/\(path)", F_OK) == 0 }
}
