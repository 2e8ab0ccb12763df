import ArgumentParser
import RecordFormat
import TopicLog

extension LogCommand {
    /// `rdmad log verify`: reads everything, and says what is damaged.
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Check every batch and every record of every partition, changing nothing.",
            discussion: """
                Damage below a partition's recovery point is damage to acknowledged records. What is broken at or above
                it is a torn tail that nobody was promised: the next start of the broker moves it away.

                In a segment that was compacted or repaired offsets are missing; the .compacted file beside it says what
                has to be there.

                Exit status: 0 when all is sound, 1 when acknowledged records are damaged.
                """)
        @Argument(help: "A data directory, a partition's directory or a segment file.") var path: String
        @Flag(help: "Offsets may be missing anywhere: for compacted topics without .compacted files, as Kafka's are.")
        var compacted = false
        @Flag(help: "Results as JSON, on one line: an object for each partition.") var json = false

        func run() throws {
            let partitions = try LogCommand.segments(at: path)
            let isSegment = path.hasSuffix(".log")
            let directory = isSegment ? path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." : path
            // They lie in the data directory: the path itself, or what is around a partition.
            let bounds = try LogCommand.explained {
                try LogInspector.recoveryPoints(in: directory + "/..")
                    .merging(LogInspector.recoveryPoints(in: directory)) { $1 }
            }
            var reports: [PartitionReport] = []
            for (partition, segments) in partitions {
                let bound = bounds[isSegment ? String(directory.split(separator: "/").last ?? "") : partition]
                reports.append(
                    try LogCommand.explained { try verify(partition, segments, bound, isWhole: !isSegment) })
            }
            if json { print("\(JSON.list(reports.map(\.json)))") }
            if !reports.allSatisfy(\.isSound) { throw ExitCode(1) }
        }

        private func verify(
            _ partition: String, _ segments: [(base: Offset, path: String)], _ bound: Offset?, isWhole: Bool
        ) throws -> PartitionReport {
            var report = PartitionReport(
                partition: partition, segmentCount: segments.count, start: segments.first?.base ?? .zero, isQuiet: json)
            for segment in segments {
                if segment.base != report.end && !compacted {
                    report.addDamage("\(segment.path) begins at \(segment.base), the one before ends at \(report.end)")
                }
                try verify(segment, isLast: segment.path == segments.last?.path, bound ?? .zero, &report)
            }
            if isWhole, let bound, report.end < bound {
                report.addDamage("ends at \(report.end), but was acknowledged up to \(bound)")
            }
            if !json { print(report.summary) }
            return report
        }

        private func verify(
            _ segment: (base: Offset, path: String), isLast: Bool, _ bound: Offset, _ report: inout PartitionReport
        ) throws {
            let contents = BatchContents()
            let isCompacted = try LogInspector.isCompacted(segment)
            let inspector = try LogInspector(
                path: segment.path, expecting: segment.base, allowsGaps: isCompacted || compacted)
            var isWhole = true
            while let finding = try inspector.next() {
                switch finding {
                case .batch(let header, let position):
                    report.batchCount += 1
                    report.recordCount += Int(header.recordCount)
                    if let reason = contents.damage(header, inspector) {
                        report.addDamage("\(segment.path) at byte \(position): \(reason)")
                    }
                case .damage(let damage):
                    isWhole = false
                    if damage.end == nil && isLast && damage.start >= bound {
                        report.addTornTail("\(segment.path) \(damage)")
                    } else {
                        report.addDamage("\(segment.path) \(damage)")
                    }
                }
            }
            // Where something else is damaged the headers cannot be the same.
            if isCompacted, isWhole, let reason = try inspector.gapDamage() {
                report.addDamage("\(segment.path): \(reason)")
            }
            report.end = inspector.nextOffset
            report.byteCount += inspector.sizeInBytes
        }
    }
}

/// What was found in a partition's files, said as it is found.
private struct PartitionReport {
    let partition: String
    let segmentCount: Int
    let start: Offset
    /// Where the last segment so far ends.
    var end: Offset
    var byteCount: Int64 = 0
    var batchCount = 0
    var recordCount = 0
    private var damage: [String] = []
    private var tornTail: String?
    private let isQuiet: Bool

    init(partition: String, segmentCount: Int, start: Offset, isQuiet: Bool) {
        (self.partition, self.segmentCount, self.start, self.isQuiet) = (partition, segmentCount, start, isQuiet)
        end = start
    }

    var isSound: Bool { damage.isEmpty }

    mutating func addDamage(_ text: String) {
        damage.append(text)
        if !isQuiet { print("\(partition): DAMAGED: \(text)") }
    }

    mutating func addTornTail(_ text: String) {
        tornTail = text
        if !isQuiet { print("\(partition): torn tail: \(text)") }
    }

    var summary: String {
        "\(partition): \(isSound ? "ok" : "DAMAGED"), \(segmentCount) segments, \(byteCount) bytes, "
            + "\(batchCount) batches, \(recordCount) records, offsets \(start)..<\(end)"
    }

    var json: JSON {
        .object([
            ("partition", .text(partition)), ("sound", .truth(isSound)), ("segments", .number(Int64(segmentCount))),
            ("bytes", .number(byteCount)), ("batches", .number(Int64(batchCount))),
            ("records", .number(Int64(recordCount))), ("startOffset", .number(start.rawValue)),
            ("endOffset", .number(end.rawValue)), ("damage", .list(damage.map { .text($0) })),
            ("tornTail", .text(tornTail)),
        ])
    }
}
