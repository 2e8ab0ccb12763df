import ArgumentParser
import RdmadClient
import TopicProtocol

/// `rdmad topic`: what topics there are.
struct TopicCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topic", abstract: "Create, list, describe, alter and delete topics.",
        discussion: """
              rdmad topic create flights --partitions 4
              rdmad topic list
              rdmad topic describe flights --json
              rdmad topic alter flights --config retention.ms=3600000 --delete-config segment.bytes
              rdmad topic add-partitions flights --partitions 8
              rdmad topic offsets flights --time 2026-01-31T12:00:00Z
              rdmad topic delete-records flights --partition 0 --before 1000
              rdmad topic delete flights
            """,
        subcommands: [
            Create.self, List.self, Describe.self, Delete.self, Alter.self, AddPartitions.self, TopicOffsets.self,
            DeleteRecords.self,
        ])

    /// Runs `body` with a connection that is closed afterwards.
    static func withAdmin(_ options: BrokerOptions, _ body: (Admin) async throws -> Void) async throws {
        let admin = Admin(broker: try options.address, timeoutSeconds: 2)
        defer { admin.close() }
        try await body(admin)
    }

    /// Calls `body` with each name, whatever becomes of the others. The errors are said, the last one thrown.
    static func each(of names: [String], _ body: (String) async throws -> Void) async throws {
        var failure: ClientError?
        for name in names {
            do { try await body(name) } catch let error as ClientError {
                if let failure { complain("\(failure)") }
                failure = error
            }
        }
        if let failure { throw failure }
    }

    struct Create: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Create topics.")
        @OptionGroup var output: AdminOptions
        @Argument(help: "Letters, digits, '.', '_' and '-', at most 249.") var names: [String]
        @Option(name: [.long, .short], help: "How many logs a topic is split into.") var partitions = 1
        @OptionGroup var settings: ConfigOptions
        @Flag(help: "A topic that exists already is left as it is, without an error.") var ifNotExists = false

        func run() async throws {
            let configs = try settings.configs
            try await withAdmin(output.broker) { admin in
                let topics = names.map { Admin.NewTopic($0, partitions: partitions, configs: configs) }
                var failure: ClientError?
                for (topic, error) in zip(topics, await admin.createTopics(topics)) {
                    if let error {
                        if ifNotExists && error.broker == .topicAlreadyExists { continue }
                        if let failure { complain("\(failure)") }
                        failure = error
                    } else {
                        output.say(
                            "created topic \(topic.name) with \(partitions) partition\(partitions == 1 ? "" : "s")",
                            [("created", .text(topic.name)), ("partitions", .number(Int64(partitions)))])
                    }
                }
                if let failure { throw failure }
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "List topics.")
        @OptionGroup var output: AdminOptions

        func run() async throws {
            try await withAdmin(output.broker) { admin in
                let topics = try await admin.listTopics()
                output.table(
                    ["NAME", "PARTITIONS"], topics.map { [$0.name, "\($0.partitionCount)"] },
                    .list(
                        topics.map {
                            .object([("name", .text($0.name)), ("partitions", .number(Int64($0.partitionCount)))])
                        }))
            }
        }
    }

    struct Describe: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show a topic's partitions and offsets.")
        @OptionGroup var output: AdminOptions
        @Argument var name: String

        func run() async throws {
            try await withAdmin(output.broker) { admin in
                let partitions = try await admin.describeTopic(name)
                let configs = try await admin.topicConfigs(name)
                if !output.json, !configs.isEmpty {
                    print("configs: \(configs.map { "\($0.name)=\($0.value)" }.joined(separator: " "))")
                }
                let items = partitions.map { partition -> JSON in
                    .object([
                        ("partition", .number(Int64(partition.index))),
                        ("startOffset", .number(partition.startOffset)), ("endOffset", .number(partition.endOffset)),
                        ("logEndOffset", .number(partition.logEndOffset)), ("writable", .truth(partition.isWritable)),
                    ])
                }
                output.table(
                    ["PARTITION", "START", "END", "RECORDS", "STATE"],
                    partitions.map {
                        [
                            "\($0.index)", "\($0.startOffset)", "\($0.endOffset)", "\($0.endOffset - $0.startOffset)",
                            $0.isWritable ? "ok" : "read-only",
                        ]
                    },
                    .object([
                        ("name", .text(name)), ("configs", .object(configs.map { ($0.name, .text($0.value)) })),
                        ("partitions", .list(items)),
                    ]))
            }
        }
    }

    struct Delete: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Delete topics and all of their records.")
        @OptionGroup var output: AdminOptions
        @Argument var names: [String]
        @Flag(help: "A topic that does not exist is no error.") var ifExists = false

        func run() async throws {
            try await withAdmin(output.broker) { admin in
                try await each(of: names) { name in
                    do {
                        try await admin.deleteTopic(name)
                        output.say("deleted topic \(name)", [("deleted", .text(name))])
                    } catch let error as ClientError where ifExists && error.broker == .unknownTopicOrPartition {}
                }
            }
        }
    }

    struct Alter: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a topic's configs. What is not named stays as it is.")
        @Argument var name: String
        @OptionGroup var change: ConfigChange

        func run() async throws { try await change.apply(to: name) }
    }

    struct AddPartitions: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Give a topic more partitions.",
            discussion: "Records of a key may go to another partition from then on. Partitions are never taken away.")
        @OptionGroup var output: AdminOptions
        @Argument var name: String
        @Option(name: [.long, .short], help: "How many there shall be, more than there are.") var partitions: Int

        func run() async throws {
            try await withAdmin(output.broker) { admin in
                try await admin.addPartitions(name, total: partitions)
                output.say(
                    "topic \(name) has \(partitions) partitions",
                    [("altered", .text(name)), ("partitions", .number(Int64(partitions)))])
            }
        }
    }

    struct DeleteRecords: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Delete a partition's oldest records.",
            discussion: "They cannot be read any more when this returns; whole segment files go at once.")
        @OptionGroup var output: AdminOptions
        @Argument var name: String
        @Option(help: "The partition.") var partition = 0
        @Option(
            parsing: .unconditional,
            help: ArgumentHelp(
                "The first offset to stay, at most the end; -1: delete all there is.", valueName: "offset"))
        var before: Int64

        func validate() throws {
            guard before >= -1 else { throw ValidationError("--before is an offset, or -1 for the end") }
        }

        func run() async throws {
            try await withAdmin(output.broker) { admin in
                let start = try await admin.deleteRecords(
                    name, partition: partition, before: before == -1 ? nil : before)
                output.say(
                    "\(name)-\(partition) begins at \(start)",
                    [
                        ("topic", .text(name)), ("partition", .number(Int64(partition))),
                        ("startOffset", .number(start)),
                    ])
            }
        }
    }
}

/// What `topic alter` and `config alter` have in common.
struct ConfigChange: ParsableArguments {
    @OptionGroup var output: AdminOptions
    @OptionGroup var settings: ConfigOptions
    @Option(help: ArgumentHelp("Go back to the broker's value; may be given again.", valueName: "name"))
    var deleteConfig: [String] = []

    func validate() throws {
        guard !settings.config.isEmpty || !deleteConfig.isEmpty else {
            throw ValidationError("nothing to alter: give --config NAME=VALUE or --delete-config NAME")
        }
    }

    func apply(to topic: String) async throws {
        let configs = try settings.configs
        try await TopicCommand.withAdmin(output.broker) { admin in
            try await admin.alterConfigs(topic, set: configs, delete: deleteConfig)
            output.say("altered topic \(topic)", [("altered", .text(topic))])
        }
    }
}

/// Settings as `NAME=VALUE`.
struct ConfigOptions: ParsableArguments {
    @Option(
        name: [.long, .short],
        help: ArgumentHelp(
            "A setting of the topic's own; may be given again. cleanup.policy, retention.ms, retention.bytes, "
                + "segment.bytes, segment.ms, delete.retention.ms, min.cleanable.dirty.ratio, "
                + "max.message.bytes and index.interval.bytes mean what they mean to Kafka; "
                + "flush.policy is group, interval:MS or none.",
            valueName: "name=value"))
    var config: [String] = []

    func validate() throws { _ = try configs }

    /// As a dictionary.
    var configs: [String: String] {
        get throws {
            var configs: [String: String] = [:]
            for setting in config {
                let (name, value) = try nameAndValue(of: setting)
                guard !value.isEmpty else { throw ValidationError("--config \(name) has no value") }
                configs[name] = value
            }
            return configs
        }
    }
}
