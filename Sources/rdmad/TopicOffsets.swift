import ArgumentParser
import RdmadClient

/// `rdmad topic offsets`: Kafka's kafka-get-offsets.
struct TopicOffsets: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "offsets", abstract: "Look offsets up by time.",
        discussion: """
            --time is 'latest' (the end, which is the default), 'earliest', 'max-timestamp' (the record with the latest
            timestamp), milliseconds since 1970, or a time such as 2026-01-31T12:00:00Z: the first record of at least
            that time. Kafka's -1, -2 and -3 stand for the first three. Offset -1: there is no such record.
            """)
    @OptionGroup var output: AdminOptions
    @Argument var name: String
    @Option(help: "A partition; may be given again. Default: all.") var partition: [Int] = []
    @Option(parsing: .unconditional, help: "latest, earliest, max-timestamp, milliseconds, or YYYY-MM-DDThh:mm:ssZ.")
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
                if let milliseconds = Int64(time), milliseconds >= 0 { return .timestamp(milliseconds) }
                if let seconds = Self.secondsSince1970(time) { return .timestamp(seconds * 1000) }
                throw ValidationError(
                    "--time is latest, earliest, max-timestamp, milliseconds since 1970 or YYYY-MM-DDThh:mm:ssZ, "
                        + "not '\(time)'")
            }
        }
    }

    private static func secondsSince1970(_ text: String) -> Int64? {
        let numbers = text.split { !$0.isNumber }.compactMap { Int($0) }
        let shape = String(text.map { $0.isNumber ? "0" : $0 })
        guard shape == "0000-00-00T00:00:00Z", numbers.count == 6 else { return nil }
        let (year, month) = (numbers[0], numbers[1])
        let start = daysSince1970(year, month)
        let next = month == 12 ? daysSince1970(year + 1, 1) : daysSince1970(year, month + 1)
        guard (1...12).contains(month), (1...next - start).contains(numbers[2]), year >= 1970, numbers[3] < 24,
            numbers[4] < 60, numbers[5] < 60
        else { return nil }
        return Int64((((start + numbers[2] - 1) * 24 + numbers[3]) * 60 + numbers[4]) * 60 + numbers[5])
    }

    /// Of a month's first day, in the Gregorian calendar. Years begin in March here, so that leap days end them.
    private static func daysSince1970(_ year: Int, _ month: Int) -> Int {
        let year = month < 3 ? year - 1 : year
        return year * 365 + year / 4 - year / 100 + year / 400 + (153 * ((month + 9) % 12) + 2) / 5 - 719_468
    }
}
