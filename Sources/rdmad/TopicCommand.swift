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
        @Option(
            name: [.long, .short],
            help: ArgumentHelp(
                "A setting of the topic's own; may be given again. cleanup.policy, retention.ms, retention.bytes, "
                    + "segment.bytes, segment.ms, delete.retention.ms, min.cleanable.dirty.ratio and "
                    + "index.interval.bytes mean what they mean to Kafka; flush.policy is group, interval:MS or none.",
                valueName: "name=value"))
        var config: [String] = []

        func validate() throws { _ = try configs }

        /// As a dictionary.
        private var configs: [String: String] {
            get throws {
                var configs: [String: String] = [:]
                for text in config {
                    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
                        throw ValidationError("--config is NAME=VALUE, not '\(text)'")
                    }
                    configs[String(parts[0])] = String(parts[1])
                }
                return configs
            }
        }

        func run() async throws {
            let configs = try configs
            try await withAdmin(broker) { admin in
                try await admin.createTopic(name, partitions: partitions, configs: configs)
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
                let configs = try await admin.topicConfigs(name)
                if json {
                    let items = partitions.map {
                        "{\"partition\":\($0.index),\"startOffset\":\($0.startOffset),\"endOffset\":\($0.endOffset),"
                            + "\"logEndOffset\":\($0.logEndOffset),\"writable\":\($0.isWritable)}"
                    }
                    // Neither names nor values that a broker takes need escaping.
                    let own = configs.map { "\"\($0.name)\":\"\($0.value)\"" }.joined(separator: ",")
                    return print(
                        "{\"name\":\"\(name)\",\"configs\":{\(own)},\"partitions\":[\(items.joined(separator: ","))]}")
                }
                if !configs.isEmpty {
                    print("configs: \(configs.map { "\($0.name)=\($0.value)" }.joined(separator: " "))")
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
