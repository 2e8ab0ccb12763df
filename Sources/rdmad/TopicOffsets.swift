import ArgumentParser
import RdmadClient

/// `rdmad topic offsets`: Kafka's kafka-get-offsets.
struct TopicOffsets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "offsets", abstract: "Look offsets up by time.",
        discussion: """
            --time is 'latest' (the end, which is the default), 'earliest', 'max-timestamp' (the record with the latest
            timestamp), milliseconds since 1970, or a time such as 2026-01-31T12:00:00.000Z: the first record of at
            least that time. Kafka's -1, -2 and -3 stand for the first three. Offset -1: there is no such record.
            """)
    @OptionGroup var output: AdminOptions
    @Argument var name: String
    @Option(help: "A partition; may be given again. Default: all.") var partition: [Int] = []
    @Option(parsing: .unconditional, help: "latest, earliest, max-timestamp, milliseconds, or a time (UTC).")
    var time = "latest"

    func validate() throws { _ = try spec }

    func run() async throws {
        let spec = try spec
        try await TopicCommand.withAdmin(output.broker) { admin in
            let found = try await admin.listOffsets(name, partitions: partition.isEmpty ? nil : partition, at: spec)
            output.table(
                ["PARTITION", "OFFSET", "TIMESTAMP"],
                found.map { ["\($0.partition)", "\($0.offset)", "\($0.timestamp)"] },
                .list(
                    found.map {
                        .object([
                            ("topic", .text(name)), ("partition", .number(Int64($0.partition))),
                            ("offset", .number($0.offset)), ("timestamp", .number($0.timestamp)),
                        ])
                    }))
        }
    }

    private var spec: Admin.OffsetSpec {
        get throws {
            switch time {
            case "latest", "-1": return .latest
            case "earliest", "-2": return .earliest
            case "max-timestamp", "-3": return .maxTimestamp
            default:
                if let number = milliseconds(of: time) { return .timestamp(number) }
                throw ValidationError(
                    "--time is latest, earliest, max-timestamp, milliseconds since 1970 or a time such as "
                        + "2026-01-31T12:00:00Z, not '\(time)'")
            }
        }
    }
}
