import ArgumentParser
import BrokerCore
import FabricFrontend

/// The limits of `rdmad serve`: docs/settings.md lists them.
struct LimitOptions: ParsableArguments {
    @Option(help: "Connections of each door; all Kafka listeners together count as one.")
    var maxConnections = DoorLimits().connectionsMax

    @Option(help: "Topics.")
    var topicsMax = BrokerLimits().topicsMax

    @Option(help: "Partitions of all topics; an idle one takes about 2 KiB of memory.")
    var partitionsMax = BrokerLimits().partitionsMax

    @Option(help: "Batches that one connection may have announced and not acknowledged.")
    var inFlightMax = DoorLimits().producesInFlightMax

    @Option(help: "Partitions that one connection may read.")
    var subscriptionsMax = DoorLimits().subscriptionsMax

    @Option(help: "Longest ring that a consumer may open, in bytes.")
    var ringBytesMax = DoorLimits().ringBytesMax

    @Option(help: "How long a request in fragments may take to become whole, in milliseconds.")
    var fragmentTimeoutMs = DoorLimits().fragmentTimeoutMilliseconds

    @Option(
        help: ArgumentHelp(
            "Bytes per second that a client may produce: for each client id, or with NAME= for one. May be given "
                + "again. Who is faster waits.", valueName: "[client=]bytes"))
    var quotaProduce: [String] = []

    @Option(
        help: ArgumentHelp("The same for what a client consumes.", valueName: "[client=]bytes"))
    var quotaConsume: [String] = []

    func validate() throws {
        func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
            guard range.contains(value) else {
                throw ValidationError("--\(name) is \(range.lowerBound) to \(range.upperBound), not \(value)")
            }
        }
        try check("max-connections", maxConnections, 1...65_000)
        try check("topics-max", topicsMax, 1...1_000_000)
        try check("partitions-max", partitionsMax, 1...1_000_000)
        try check("in-flight-max", inFlightMax, 1...1024)
        try check("subscriptions-max", subscriptionsMax, 1...100_000)
        try check("ring-bytes-max", Int(clamping: ringBytesMax), 4096...1 << 40)
        try check("fragment-timeout-ms", Int(clamping: fragmentTimeoutMs), 1...86_400_000)
        _ = try quotas
    }

    var broker: BrokerLimits {
        var limits = BrokerLimits()
        limits.topicsMax = topicsMax
        limits.partitionsMax = partitionsMax
        return limits
    }

    /// Those of doors, as far as they are set here.
    var door: DoorLimits {
        var limits = DoorLimits()
        limits.connectionsMax = maxConnections
        limits.producesInFlightMax = inFlightMax
        limits.subscriptionsMax = subscriptionsMax
        limits.ringBytesMax = ringBytesMax
        limits.fragmentTimeoutMilliseconds = fragmentTimeoutMs
        return limits
    }

    var quotas: QuotaLimits {
        get throws {
            var limits = QuotaLimits()
            for (client, rate) in try quotaProduce.map({ try Self.rate($0, "--quota-produce") }) {
                if let client {
                    limits.own[client, default: .init()].produce = rate
                } else {
                    limits.standard.produce = rate
                }
            }
            for (client, rate) in try quotaConsume.map({ try Self.rate($0, "--quota-consume") }) {
                if let client {
                    limits.own[client, default: .init()].consume = rate
                } else {
                    limits.standard.consume = rate
                }
            }
            return limits
        }
    }

    /// `[client=]bytes`.
    private static func rate(_ text: String, _ option: String) throws -> (client: String?, rate: Int) {
        let cut = text.lastIndex(of: "=")
        let client = cut.map { String(text[..<$0]) }
        let digits = cut.map { text[text.index(after: $0)...] } ?? text[...]
        guard let rate = Int(digits), rate > 0, client?.utf8.count ?? 1 <= 32, client != "" else {
            throw ValidationError(
                "\(option) is BYTES or CLIENT=BYTES per second, at least 1; a client id has 1 to 32 bytes: not "
                    + "'\(text)'")
        }
        return (client, rate)
    }
}
