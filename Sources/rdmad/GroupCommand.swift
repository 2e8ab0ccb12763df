import ArgumentParser
import RdmadClient
import TopicProtocol

/// `rdmad group`: consumer groups.
struct GroupCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "group", abstract: "List, describe and delete consumer groups, and reset their offsets.",
        discussion: """
              rdmad group list
              rdmad group describe reports --json
              rdmad group reset-offsets reports --topic flights --to-earliest --execute
              rdmad group delete reports
            """,
        subcommands: [List.self, Describe.self, Delete.self, ResetOffsets.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List groups.")
        @OptionGroup var options: AdminOptions

        func run() async throws {
            try await TopicCommand.withAdmin(options.broker) { admin in
                let groups = try await admin.listGroups()
                let items = groups.map { group in
                    JSON.object([
                        ("group", .text(group.id)), ("state", .text(group.state)),
                        ("protocolType", .text(group.protocolType)),
                    ])
                }
                options.table(["GROUP", "STATE"], groups.map { [$0.id, $0.state] }, .list(items))
            }
        }
    }

    struct Describe: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show a group's members, what each reads, how far it has committed, and what is left.")
        @OptionGroup var options: AdminOptions
        @Argument var group: String

        func run() async throws {
            try await TopicCommand.withAdmin(options.broker) { admin in
                let group = try await admin.describeGroup(group)
                let rows = try await GroupRow.all(of: group, admin)
                if !options.json { print("\(group.id): \(group.state), \(group.members.count) members") }
                let heading = [
                    "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID", "HOST", "CLIENT-ID",
                ]
                func text(_ number: Int64?) -> String { number.map(String.init) ?? "-" }
                let cells = rows.map { row in
                    [
                        row.partition?.topic ?? "-", text(row.partition.map { Int64($0.partition) }),
                        text(row.committed), text(row.end), text(row.lag), row.member?.id ?? "-",
                        row.member?.host ?? "-", row.member?.clientID ?? "-",
                    ]
                }
                options.table(heading, cells, Self.json(group, rows))
            }
        }

        private static func json(_ group: ConsumerGroup, _ rows: [GroupRow]) -> JSON {
            func place(_ partition: TopicPartition) -> [(String, JSON)] {
                [("topic", .text(partition.topic)), ("partition", .number(Int64(partition.partition)))]
            }
            let members = group.members.map { member in
                JSON.object([
                    ("id", .text(member.id)), ("instanceId", .text(member.instanceID)),
                    ("clientId", .text(member.clientID)), ("host", .text(member.host)),
                    ("assignment", .list(member.assignment.map { .object(place($0)) })),
                ])
            }
            let partitions = rows.compactMap { row in
                row.partition.map { partition in
                    JSON.object(
                        place(partition) + [
                            ("committedOffset", .number(row.committed)), ("endOffset", .number(row.end)),
                            ("lag", .number(row.lag)), ("member", .text(row.member?.id)),
                        ])
                }
            }
            return .object([
                ("group", .text(group.id)), ("state", .text(group.state)), ("assignor", .text(group.assignor)),
                ("generation", .number(Int64(group.generation))), ("members", .list(members)),
                ("partitions", .list(partitions)),
            ])
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete groups without members, and what they have committed.")
        @OptionGroup var options: AdminOptions
        @Argument var groups: [String]

        func run() async throws {
            try await TopicCommand.withAdmin(options.broker) { admin in
                try await TopicCommand.each(of: groups) { group in
                    try await admin.deleteGroup(group)
                    options.say("deleted group \(group)", [("deleted", .text(group))])
                }
            }
        }
    }
}

/// A line of a group's description: a partition with its reader, or a member without a partition.
struct GroupRow {
    var partition: TopicPartition?
    var committed: Int64?
    var end: Int64?
    var member: ConsumerGroup.Member?
    var lag: Int64? { end.flatMap { end in committed.map { max(0, end - $0) } } }

    /// What is assigned or has a committed offset, by partition; then members with nothing to read.
    static func all(of group: ConsumerGroup, _ admin: Admin) async throws -> [GroupRow] {
        let offsets = try await admin.groupOffsets(group.id)
        var owners: [TopicPartition: ConsumerGroup.Member] = [:]
        for member in group.members { for partition in member.assignment { owners[partition] = member } }
        let partitions = Set(offsets.keys).union(owners.keys).sorted()
        let ends = try await partitionRanges(Set(partitions.map(\.topic)), admin)
        return partitions.map {
            GroupRow(partition: $0, committed: offsets[$0], end: ends[$0]?.upperBound, member: owners[$0])
        } + group.members.filter(\.assignment.isEmpty).map { GroupRow(member: $0) }
    }
}

/// First and end offset of each partition of these topics; those that are gone are left out.
func partitionRanges(_ topics: Set<String>, _ admin: Admin) async throws -> [TopicPartition: Range<Int64>] {
    var ranges: [TopicPartition: Range<Int64>] = [:]
    for topic in topics {
        do throws(ClientError) {
            for partition in try await admin.describeTopic(topic) {
                ranges[TopicPartition(topic, partition.index)] =
                    partition.startOffset..<max(partition.startOffset, partition.endOffset)
            }
        } catch {
            guard error.broker == .unknownTopicOrPartition else { throw error }
        }
    }
    return ranges
}
