import ArgumentParser
import Glibc
import RecordFormat
import TopicLog

/// `rdmad log`: looks into the files of a stopped broker, or of a copy.
struct LogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log", abstract: "Look into log files, and repair them.",
        discussion: """
            For the files of a stopped broker, or of a copy; dump and verify change nothing.

              rdmad log verify /var/lib/rdmad
              rdmad log repair /var/lib/rdmad --dry-run
              rdmad log dump /var/lib/rdmad/flights-0 --from 1200 --records
            """,
        subcommands: [Dump.self, Verify.self, Repair.self])

    /// What a path stands for: partitions with their segments.
    static func segments(at path: String) throws -> [(partition: String, segments: [(base: Offset, path: String)])] {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        let name = String(path.split(separator: "/").last ?? "")
        if path.hasSuffix(".log") {
            guard let base = Int64(name.dropLast(4)), base >= 0 else {
                throw Failure("\(path): a segment is named by its first offset, in 20 digits")
            }
            return [(path, [(Offset(base), path)])]
        }
        return try explained {
            let own = try LogInspector.segments(in: path)
            if !own.isEmpty { return [(name, own)] }
            let partitions = try LogInspector.partitions(in: path)
            guard !partitions.isEmpty else { throw Failure("\(path) holds no segments and no partitions") }
            return try partitions.map { ($0, try LogInspector.segments(in: path + "/" + $0)) }
        }
    }

    /// Runs `body`; what the log says of a failure is said to the user.
    static func explained<T>(_ body: () throws -> T) throws -> T {
        do { return try body() } catch let error as LogError { throw Failure("\(error)") }
    }
}
