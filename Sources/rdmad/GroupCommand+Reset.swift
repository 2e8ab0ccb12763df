import ArgumentParser
import RdmadClient
import TopicProtocol

extension GroupCommand {
    struct ResetOffsets: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reset-offsets", abstract: "Set where a group without members goes on reading.",
            discussion: """
                Shows what would be done; --execute does it. An offset outside of what there is becomes the nearest one
                that is.
                """)
        @OptionGroup var options: AdminOptions
        @Argument var group: String
        @Option(
            help: ArgumentHelp(
                "A topic, or some of its partitions: flights, flights:0,2. May be given again.", valueName: "topic"))
        var topic: [String] = []
        @Flag(help: "All topics that the group has committed something of.") var allTopics = false
        @Flag(help: "To the first record there is.") var toEarliest = false
        @Flag(help: "Behind the last record.") var toLatest = false
        @Option(help: "To this offset.") var toOffset: Int64?
        @Option(parsing: .unconditional, help: "By so many records from where it is, back when negative.")
        var shiftBy: Int64?
        @Option(help: "To the first record of this time: as in 2026-01-31T12:00:00.000Z, or milliseconds since 1970.")
        var toDatetime: String?
        @Flag(help: "Only show what would be done: the default.") var dryRun = false
        @Flag(help: "Do it.") var execute = false

        func validate() throws {
            let ways = [toEarliest, toLatest, toOffset != nil, shiftBy != nil, toDatetime != nil]
            guard ways.count(where: { $0 }) == 1 else {
                throw ValidationError("one of --to-earliest, --to-latest, --to-offset, --shift-by and --to-datetime")
            }
            guard topic.isEmpty == allTopics else { throw ValidationError("--topic or --all-topics") }
            guard !(dryRun && execute) else { throw ValidationError("--dry-run or --execute, not both") }
            _ = try toDatetime.map { try milliseconds(of: $0, option: "--to-datetime") }
            for text in topic { _ = try Self.parse(text) }
        }

        /// A topic with the partitions that were named.
        private static func parse(_ text: String) throws -> (topic: String, partitions: [Int]?) {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            let numbers = parts.count == 2 ? parts[1].split(separator: ",").map { Int($0) } : []
            guard parts.count <= 2, !parts[0].isEmpty, parts.count == 1 || !numbers.isEmpty,
                numbers.allSatisfy({ $0.map { $0 >= 0 } ?? false })
            else {
                throw ValidationError("--topic is a name, or a name and partitions such as flights:0,2, not '\(text)'")
            }
            return (String(parts[0]), parts.count == 2 ? numbers.map { $0! } : nil)
        }

        func run() async throws {
            try await TopicCommand.withAdmin(options.broker) { admin in
                try await requireNoMembers(admin)
                let committed = try await admin.groupOffsets(group)
                let ranges = try await partitionRanges(
                    Set(try topic.map { try Self.parse($0).topic } + (allTopics ? committed.keys.map(\.topic) : [])),
                    admin)
                var offsets: [TopicPartition: Int64] = [:]
                for partition in try chosen(ranges, committed) {
                    let range = ranges[partition]!
                    let target = try await target(partition, range, committed[partition], admin)
                    offsets[partition] = min(max(target, range.lowerBound), range.upperBound)
                }
                if execute { try await admin.setGroupOffsets(group, offsets) }
                report(offsets, committed)
            }
        }

        /// A group that is not there yet has none.
        private func requireNoMembers(_ admin: Admin) async throws {
            do throws(ClientError) {
                let state = try await admin.describeGroup(group).state
                guard ["Empty", "Dead"].contains(state) else {
                    throw ClientError(
                        .broker, "group \(group) is \(state): offsets can be reset only while it has no members",
                        broker: .nonEmptyGroup)
                }
            } catch {
                guard error.broker == .groupIDNotFound else { throw error }
            }
        }

        private func chosen(
            _ ranges: [TopicPartition: Range<Int64>], _ committed: [TopicPartition: Int64]
        ) throws -> [TopicPartition] {
            guard !allTopics else { return committed.keys.filter { ranges[$0] != nil } }
            return try topic.flatMap { text in
                let (topic, partitions) = try Self.parse(text)
                let all = ranges.keys.filter { $0.topic == topic }
                guard !all.isEmpty else { throw Failure("there is no topic \(topic)") }
                let names = partitions.map { $0.map { TopicPartition(topic, $0) } } ?? Array(all)
                if let wrong = names.first(where: { ranges[$0] == nil }) {
                    throw Failure("topic \(topic) has partitions 0 to \(all.count - 1), not \(wrong.partition)")
                }
                return names
            }
        }

        private func target(
            _ partition: TopicPartition, _ range: Range<Int64>, _ committed: Int64?, _ admin: Admin
        ) async throws -> Int64 {
            if toEarliest { return range.lowerBound }
            if toLatest { return range.upperBound }
            if let toOffset { return toOffset }
            if let shiftBy {
                guard let committed else { throw Failure("the group has committed nothing of \(partition) to shift") }
                let (sum, isOver) = committed.addingReportingOverflow(shiftBy)
                return isOver ? (shiftBy < 0 ? range.lowerBound : range.upperBound) : sum
            }
            let time = try milliseconds(of: toDatetime!, option: "--to-datetime")
            let found = try await admin.listOffsets(
                partition.topic, partitions: [partition.partition], at: .timestamp(time))
            return found[0].offset < 0 ? range.upperBound : found[0].offset
        }

        private func report(_ offsets: [TopicPartition: Int64], _ committed: [TopicPartition: Int64]) {
            let names = offsets.keys.sorted()
            let items = names.map { name in
                JSON.object([
                    ("topic", .text(name.topic)), ("partition", .number(Int64(name.partition))),
                    ("committedOffset", .number(committed[name])), ("newOffset", .number(offsets[name])),
                    ("executed", .truth(execute)),
                ])
            }
            let cells = names.map { name in
                [name.topic, "\(name.partition)", committed[name].map(String.init) ?? "-", "\(offsets[name]!)"]
            }
            options.table(["TOPIC", "PARTITION", "CURRENT-OFFSET", "NEW-OFFSET"], cells, .list(items))
            if !execute, !options.json { print("nothing was changed: --execute does it") }
        }
    }
}
