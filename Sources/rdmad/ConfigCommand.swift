import ArgumentParser
import RdmadClient

/// `rdmad config`: the settings of topics and of the broker.
struct ConfigCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Show and change configs.",
        discussion: """
              rdmad config describe --topic flights
              rdmad config describe --json
              rdmad config alter --topic flights --config retention.ms=3600000
              rdmad config alter --topic flights --delete-config retention.ms

            Without --topic it is about the broker, whose configs are the options of 'rdmad serve'.
            """,
        subcommands: [Describe.self, Alter.self])

    struct Describe: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Show all configs, what they stand at, and where that comes from.")
        @OptionGroup var output: AdminOptions
        @Option(help: "The topic; without it the broker.") var topic: String?

        func run() async throws {
            try await TopicCommand.withAdmin(output.broker) { admin in
                let configs =
                    if let topic { try await admin.describeConfigs(topic) } else {
                        try await admin.describeBrokerConfigs()
                    }
                output.table(
                    ["NAME", "VALUE", "SOURCE", "CHANGE"],
                    configs.map {
                        [$0.name, $0.value, $0.source.rawValue, $0.isReadOnly ? "at a restart" : "at any time"]
                    },
                    .list(
                        configs.map {
                            .object([
                                ("name", .text($0.name)), ("value", .text($0.value)),
                                ("source", .text($0.source.rawValue)), ("readOnly", .truth($0.isReadOnly)),
                            ])
                        }))
            }
        }
    }

    struct Alter: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Change a topic's configs: the same as 'rdmad topic alter'.")
        @Option(help: "The topic.") var topic: String
        @OptionGroup var change: ConfigChange

        func run() async throws { try await change.apply(to: topic) }
    }
}
