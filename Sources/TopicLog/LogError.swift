internal import CLinux
internal import Glibc

/// An operating error of the log: what happened, to what, and what can be done.
package struct LogError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kind of error. Extensible: never switch exhaustively over it.
    package struct Code: Hashable, Sendable, CustomStringConvertible {
        /// Its name, for messages.
        package let description: String

        /// A system call failed; `errno` says how.
        package static let system = Code(description: "system")
        /// No space left, or a quota reached. Free space, and the same call works again.
        package static let noSpace = Code(description: "no space")
        /// A sync or a repair failed: what is on the disk is unknown until the log is reopened.
        package static let poisoned = Code(description: "poisoned")
        /// Stored bytes are damaged; `advice` says where.
        package static let corrupt = Code(description: "corrupt")
        /// Another process owns the data directory.
        package static let inUse = Code(description: "in use")
        /// A file of the data directory does not parse, or contradicts another.
        package static let invalidCatalog = Code(description: "invalid catalog")
        /// The name breaks Kafka's rule; nothing was created.
        package static let invalidTopicName = Code(description: "invalid topic name")
        /// Outside 1...1024; nothing was created.
        package static let invalidPartitionCount = Code(description: "invalid partition count")
        /// A topic's setting is unknown, or its value not allowed; nothing was created.
        package static let invalidConfig = Code(description: "invalid config")
        /// There is a topic, or data, of that name already.
        package static let topicExists = Code(description: "topic exists")
        /// The offset is not in the log; nothing was changed.
        package static let offsetOutOfRange = Code(description: "offset out of range")
        /// There is no topic of that name.
        package static let unknownTopic = Code(description: "unknown topic")
    }

    /// The kind of error.
    package let code: Code
    /// What was attempted, such as `append of 65536 bytes to`.
    package let operation: String
    /// The file or directory it was attempted on, or the topic's name.
    package let path: String
    /// The system's error number, 0 when no system call failed.
    package let errno: Int32
    /// What is known besides, and what to do. May be empty.
    package let advice: String

    /// An error with its context; `errno` 0 when no system call failed.
    package init(_ code: Code, operation: String, path: String, errno: Int32 = 0, advice: String = "") {
        self.code = code
        self.operation = operation
        self.path = path
        self.errno = errno
        self.advice = advice
    }

    /// A failed system call.
    init(errno: Int32, _ operation: String, _ path: String, advice: String = "") {
        let isFull = errno == ENOSPC || errno == EDQUOT
        var advice = advice
        if advice.isEmpty, errno == EMFILE || errno == ENFILE {
            let limit = sysconf(Int32(_SC_OPEN_MAX))
            advice =
                errno == EMFILE
                ? "the process may have \(limit) open files: set LimitNOFILE=infinity (systemd) or ulimit -Hn higher"
                : "the system is out of open files: raise fs.file-max"
        }
        self.init(isFull ? .noSpace : .system, operation: operation, path: path, errno: errno, advice: advice)
    }

    /// Whether the same call may succeed later without anything being reopened.
    package var isRetriable: Bool { code == .noSpace || code == .system }

    package var description: String {
        let reason = errno == 0 ? code.description : unsafe String(cString: strerror(errno))
        switch code {
        case .noSpace:
            let (directory, name) = Self.place(of: path)
            let advice = advice.isEmpty ? "free space or delete topics, producers may retry" : advice
            return "no space left on \(directory): \(operation) \(name) refused; \(advice)"
        case .system, .poisoned:
            return "\(operation) \(path) failed: \(reason)" + (advice.isEmpty ? "" : "; \(advice)")
        default:
            return advice.isEmpty ? "\(operation) \(path): \(reason)" : advice
        }
    }

    /// Splits `/data/flights-0/0.log` into the data directory and the rest, as an operator thinks of it.
    private static func place(of path: String) -> (directory: String, name: String) {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count > 3 else { return (path, path) }
        return (parts.dropLast(2).joined(separator: "/"), parts.suffix(2).joined(separator: "/"))
    }
}
