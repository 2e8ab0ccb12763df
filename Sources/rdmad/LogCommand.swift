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

    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check every batch and every record of every partition, changing nothing.",
            discussion: """
                Damage below a partition's recovery point is damage to acknowledged records. What is broken at or above
                it is a torn tail that nobody was promised: the next start of the broker moves it away.

                Exit status: 0 when all is sound, 1 when acknowledged records are damaged.
                """)
        @Argument(help: "A data directory, a partition's directory or a segment file.") var path: String
        @Flag(help: "Offsets may be missing: the topic is compacted.") var compacted = false

        func run() throws {
            let partitions = try LogCommand.segments(at: path)
            // They lie in the data directory: the path itself, or what is around a partition or a segment.
            let data = path.hasSuffix(".log") ? path + "/../.." : path + "/.."
            let bounds = try LogCommand.explained {
                try LogInspector.recoveryPoints(in: data).merging(LogInspector.recoveryPoints(in: path)) { $1 }
            }
            var isSound = true
            for (partition, segments) in partitions {
                isSound = try LogCommand.explained { try verify(partition, segments, bounds[partition]) } && isSound
            }
            if !isSound { throw ExitCode(1) }
        }

        private func verify(
            _ partition: String, _ segments: [(base: Offset, path: String)], _ bound: Offset?
        ) throws -> Bool {
            var (batches, records, bytes) = (0, 0, Int64(0))
            var isSound = true
            let contents = BatchContents()
            var next = segments.first?.base ?? .zero
            for (base, path) in segments {
                if base != next && !compacted {
                    isSound = false
                    print("\(partition): DAMAGED: \(path) begins at \(base), the one before ends at \(next)")
                }
                let inspector = try LogInspector(path: path, expecting: base, allowsGaps: compacted)
                while let finding = try inspector.next() {
                    switch finding {
                    case .batch(let header, let position):
                        batches += 1
                        records += Int(header.recordCount)
                        if let reason = contents.damage(header, inspector) {
                            isSound = false
                            print("\(partition): DAMAGED: \(path) at byte \(position): \(reason)")
                        }
                    case .damage(let damage):
                        let isTail = damage.end == nil && path == segments.last?.path && damage.start >= bound ?? .zero
                        isSound = isSound && isTail
                        print("\(partition): \(isTail ? "torn tail" : "DAMAGED"): \(path) \(damage)")
                    }
                }
                next = inspector.nextOffset
                bytes += inspector.sizeInBytes
            }
            if let bound, next < bound {
                isSound = false
                print("\(partition): DAMAGED: ends at \(next), but was acknowledged up to \(bound)")
            }
            let start = segments.first?.base ?? .zero
            print(
                "\(partition): \(isSound ? "ok" : "DAMAGED"), \(segments.count) segments, \(bytes) bytes, "
                    + "\(batches) batches, \(records) records, offsets \(start)..<\(next)")
            return isSound
        }
    }
}
