internal import CLinux
internal import Glibc

/// The users of the Kafka door, with what their passwords are checked against.
///
/// A file of lines `name = credential` (``ScramCredential``), one for each mechanism of a user; empty lines and such
/// with `#` at the start say nothing. `rdmad user` writes it. Only its owner and group may read it.
package struct UserStore: Sendable {
    private var users: [String: [ScramMechanism: ScramCredential]] = [:]
    /// Lets users who are not there look as if they were; another one in each process.
    private let secret = randomBytes(32)

    /// A file is read at once.
    private static let fileBytesMax = 16 << 20

    package init() {}

    /// - Throws: ``NetworkError``, which names the file, and the line.
    package init(path: String) throws {
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw NetworkError("cannot read the users in \(path): errno \(errno)") }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0, status.st_size <= Self.fileBytesMax else {
            throw NetworkError("\(path) cannot be a file of users: \(status.st_size) bytes")
        }
        guard status.st_mode & 0o007 == 0 else {
            throw NetworkError("\(path) has passwords and may be used by anybody: chmod o= \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let got = unsafe bytes.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        guard got == bytes.count, let text = String(validating: bytes, as: UTF8.self) else {
            throw NetworkError("\(path) cannot be read, or is not UTF-8")
        }
        try self.init(text: text, path: path)
    }

    /// - Parameter path: For messages.
    package init(text: String, path: String) throws {
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = Self.trimmed(line)
            if line.isEmpty || line.first == "#" { continue }
            let parts = line.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, let credential = ScramCredential(Self.trimmed(parts[1])) else {
                throw NetworkError(
                    "\(path), line \(index + 1): not `name = SCRAM-SHA-256:salt:iterations:stored key:server key`")
            }
            let name = String(Self.trimmed(parts[0]))
            guard Self.isName(name) else { throw NetworkError("\(path), line \(index + 1): \(name) is no name") }
            set(name, credential)
        }
    }

    package mutating func set(_ name: String, _ credential: ScramCredential) {
        users[name, default: [:]][credential.mechanism] = credential
    }

    /// Whether there was one.
    package mutating func remove(_ name: String) -> Bool { users.removeValue(forKey: name) != nil }

    /// What ``init(text:path:)`` reads.
    package var text: String {
        users.sorted { $0.key < $1.key }.flatMap { name, credentials in
            ScramMechanism.allCases.compactMap { credentials[$0] }.map { "\(name) = \($0)\n" }
        }.joined()
    }

    /// The users, in order.
    package var names: [String] { users.keys.sorted() }

    /// Writes a file that only its owner may read, in place of one that is there.
    /// - Throws: ``NetworkError``; the file is as it was then.
    package func save(to path: String) throws {
        let new = path + ".new"
        let descriptor = unsafe clinux_open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw NetworkError("cannot write \(new): errno \(errno)") }
        let bytes = Array(text.utf8)
        let put = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        let isWritten = put == bytes.count && fsync(descriptor) == 0
        let problem = errno
        close(descriptor)
        guard isWritten, unsafe rename(new, path) == 0 else {
            let problem = isWritten ? errno : problem
            _ = unsafe unlink(new)
            throw NetworkError("cannot write \(path): errno \(problem)")
        }
    }

    /// Anything but spaces, control characters and what separates fields.
    package static func isName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 255
            && name.unicodeScalars.allSatisfy {
                $0.value > 32 && $0.value != 127 && !"=,:#".unicodeScalars.contains($0)
            }
    }

    func credential(of name: String, _ mechanism: ScramMechanism) -> ScramCredential? { users[name]?[mechanism] }

    func standIn(for name: String, _ mechanism: ScramMechanism) -> ScramCredential {
        ScramCredential(mechanism, unknownUser: name, secret: secret)
    }

    /// Whether this is the user's password. Takes the iterations' time, also when there is no such user.
    func isPassword(_ password: String, of name: String) -> Bool {
        let known = ScramMechanism.allCases.lazy.compactMap { credential(of: name, $0) }.first
        return (known ?? standIn(for: name, .sha256)).isPassword(password) && known != nil
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while let last = text.last, last == " " || last == "\t" || last == "\r" { text.removeLast() }
        return text.drop { $0 == " " || $0 == "\t" }
    }
}
