import Foundation
import Synchronization

/// What is the same for everybody.
enum Chaos {
    static let topic = "chaos"
    static let partitions = 16
    static let keys = 64
    /// Of the groups' names, their assignors.
    static let groups = ["sticky": "cooperative-sticky", "range": "range"]
    static let producers = 8
    static let membersPerGroup = 4
    static let sessionMilliseconds = 2000

    /// A record's value: who wrote it, which of its numbers, and filler of few bytes or of many, so that some batches
    /// travel inside their announcement and others are pulled.
    static func value(_ name: String, _ number: Int) -> [UInt8] {
        let length = number % 61 == 60 ? 20_000 : number * 37 % 700
        return Array("\(name) \(number) ".utf8) + [UInt8](repeating: UInt8(97 + number % 26), count: length)
    }
}

/// Lines that survive the process that wrote them, but for the last one.
final class History: Sendable {
    private let descriptor: Int32

    init(_ path: String) {
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        precondition(descriptor >= 0, "cannot write \(path)")
    }

    /// One write, so that lines of several threads do not mix.
    func add(_ line: String) {
        let bytes = Array((line + "\n").utf8)
        let count = unsafe write(descriptor, bytes, bytes.count)
        precondition(count == bytes.count, "the history could not be written")
    }

    /// The whole lines of a file, as words.
    static func read(_ path: String) throws -> [[String]] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let whole = text.lastIndex(of: "\n").map { text[..<$0] } ?? ""
        return whole.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    }
}

/// Set by SIGTERM.
enum Termination {
    private static let flag = Atomic(false)
    static var isAsked: Bool { flag.load(ordering: .acquiring) }

    static func watch() {
        signal(SIGTERM) { _ in Termination.flag.store(true, ordering: .releasing) }
        // The conductor's threads block it, and a child inherits that; only a main thread that waits takes it then.
        var set = sigset_t()
        unsafe sigemptyset(&set)
        unsafe sigaddset(&set, SIGTERM)
        unsafe pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }
}
