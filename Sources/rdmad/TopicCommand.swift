import ArgumentParser
import Glibc
import RdmadClient

/// `rdmad topic`: what topics there are.
struct TopicCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topic", abstract: "Create, list, describe and delete topics.",
        discussion: """
              rdmad topic create flights --partitions 4
              rdmad topic list
              rdmad topic describe flights --json
              rdmad topic delete flights
            """,
        subcommands: [Create.self, List.self, Describe.self, Delete.self])

    /// Runs `body` with a connection that is closed afterwards.
    static func withAdmin(_ options: BrokerOptions, _ body: (Admin) async throws -> Void) async throws {
        let admin = Admin(broker: try options.address, timeoutSeconds: 2)
        defer { admin.close() }
        try await body(admin)
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Create a topic.")
        @OptionGroup var broker: BrokerOptions
        @Argument(help: "Letters, digits, '.', '_' and '-', at most 249.") var name: String
        @Option(name: [.long, .short], help: "How many logs the topic is split into.") var partitions = 1

        func run() async throws {
            try await withAdmin(broker) { admin in
                try await admin.createTopic(name, partitions: partitions)
                print("created topic \(name) with \(partitions) partition\(partitions == 1 ? "" : "s")")
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List topics.")
        @OptionGroup var broker: BrokerOptions
        @Flag(help: "A JSON array on one line.") var json = false

        func run() async throws {
            try await withAdmin(broker) { admin in
                let topics = try await admin.listTopics()
                if json {
                    // Topic names need no escaping.
                    let items = topics.map { "{\"name\":\"\($0.name)\",\"partitions\":\($0.partitionCount)}" }
                    return print("[\(items.joined(separator: ","))]")
                }
                printTable([["NAME", "PARTITIONS"]] + topics.map { [$0.name, "\($0.partitionCount)"] })
            }
        }
    }

    struct Describe: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a topic's partitions and offsets.")
        @OptionGroup var broker: BrokerOptions
        @Argument var name: String
        @Flag(help: "A JSON object on one line.") var json = false

        func run() async throws {
            try await withAdmin(broker) { admin in
                let partitions = try await admin.describeTopic(name)
                if json {
                    let items = partitions.map {
                        "{\"partition\":\($0.index),\"startOffset\":\($0.startOffset),\"endOffset\":\($0.endOffset),"
                            + "\"logEndOffset\":\($0.logEndOffset),\"writable\":\($0.isWritable)}"
                    }
                    return print("{\"name\":\"\(name)\",\"partitions\":[\(items.joined(separator: ","))]}")
                }
                printTable(
                    [["PARTITION", "START", "END", "RECORDS", "STATE"]]
                        + partitions.map {
                            [
                                "\($0.index)", "\($0.startOffset)", "\($0.endOffset)",
                                "\($0.endOffset - $0.startOffset)",
                                $0.isWritable ? "ok" : "read-only",
                            ]
                        })
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete a topic and all of its records.")
        @OptionGroup var broker: BrokerOptions
        @Argument var name: String

        func run() async throws {
            try await withAdmin(broker) { admin in
                try await admin.deleteTopic(name)
                print("deleted topic \(name)")
            }
        }
    }
}

/// Left-aligned columns, two spaces apart.
func printTable(_ rows: [[String]]) {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max()! }
    for row in rows {
        let cells = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
        var line = cells.joined(separator: "  ")
        while line.last == " " { line.removeLast() }
        print(line)
    }
}
