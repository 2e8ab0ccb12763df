import ArgumentParser
import Glibc
import KafkaFrontend

/// Options of `rdmad serve` about Kafka listeners: Kafka's broker settings by name.
struct KafkaSettings: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where Kafka clients are told to connect to: kafka://HOST:PORT. Once for each Kafka listener, in their "
                + "order; else where it listens, or this host's name where that is everywhere.", valueName: "url"))
    var advertisedListener: [String] = []

    @Option(name: .long, help: "This broker's number.")
    var nodeId: Int32 = 1

    @Flag(name: .long, inversion: .prefixedNo, help: "Create topics that Kafka clients ask about.")
    var autoCreateTopicsEnable = true

    @Option(name: .long, help: "Partitions of a topic where a Kafka client does not say how many.")
    var numPartitions = 1

    @Option(name: .long, help: "Longest request of a Kafka client, in bytes.")
    var socketRequestMaxBytes = NetworkConfiguration().requestBytesMax

    @Option(name: .long, help: "Memory for requests of Kafka clients that are under way, in bytes.")
    var queuedMaxRequestBytes = NetworkConfiguration().queuedBytesMax

    @Option(name: .long, help: "Memory for answers that Kafka clients do not take, in bytes.")
    var queuedMaxResponseBytes = NetworkConfiguration().queuedAnswerBytesMax

    @Option(name: .long, help: "Longest answer to a fetch, but for a single batch, in bytes.")
    var fetchMaxBytes = KafkaDoorOptions().fetchBytesMax

    @Flag(name: .long, inversion: .prefixedNo, help: "Send records from file to socket inside the kernel.")
    var zeroCopy = true

    @OptionGroup var connections: KafkaConnectionSettings

    func validate() throws {
        for url in advertisedListener { _ = try KafkaAddress(url) }
        guard nodeId >= 0 else { throw ValidationError("--node-id is at least 0") }
        guard (1...1024).contains(numPartitions) else { throw ValidationError("--num-partitions is 1 to 1024") }
        guard (1024...Int(Int32.max)).contains(socketRequestMaxBytes) else {
            throw ValidationError("--socket-request-max-bytes is 1024 to \(Int32.max)")
        }
        guard queuedMaxResponseBytes >= 1 << 20 else {
            throw ValidationError("--queued-max-response-bytes is at least 1048576")
        }
        guard (1024...Int(Int32.max)).contains(fetchMaxBytes) else {
            throw ValidationError("--fetch-max-bytes is 1024 to \(Int32.max)")
        }
    }

    func network(connectionsMax: Int, inspectsRecords: Bool) -> NetworkConfiguration {
        var configuration = NetworkConfiguration()
        configuration.inspectsRecords = inspectsRecords
        configuration.connectionsMax = connectionsMax
        configuration.requestBytesMax = socketRequestMaxBytes
        configuration.queuedBytesMax = queuedMaxRequestBytes
        configuration.queuedAnswerBytesMax = queuedMaxResponseBytes
        configuration.isZeroCopy = zeroCopy
        configuration.threads = connections.numNetworkThreads
        configuration.connectionsMaxIdleMilliseconds = connections.connectionsMaxIdleMs
        return configuration
    }

    /// - Parameter index: The listener's number among the Kafka listeners.
    func door(_ address: KafkaAddress, index: Int) throws -> KafkaDoorOptions {
        var options = KafkaDoorOptions()
        options.address = address.withoutPort
        options.nodeID = nodeId
        options.createsTopics = autoCreateTopicsEnable
        options.partitionsPerTopic = numPartitions
        options.fetchBytesMax = fetchMaxBytes
        if advertisedListener.indices.contains(index) {
            let advertised = try KafkaAddress(advertisedListener[index])
            options.advertisedHost = advertised.host
            options.advertisedPort = Int32(advertised.port)
        } else {
            options.advertisedHost = address.isEverywhere ? Self.hostName() : address.host
            options.advertisedPort = 0
        }
        return options
    }

    /// Where clients are told to connect to, for each Kafka listener among some addresses.
    func advertised(_ listen: [String]) -> [String] {
        listen.compactMap { try? KafkaAddress($0) }.enumerated().map { index, address in
            if advertisedListener.indices.contains(index) { return advertisedListener[index] }
            let host = address.isEverywhere ? Self.hostName() : address.host
            return "\(address.scheme)://\(host):\(address.port)"
        }
    }

    private static func hostName() -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// `kafka://HOST[:PORT]`, with TLS `kafka+tls://`, with SASL `kafka+sasl://`, with both `kafka+sasl+tls://`.
struct KafkaAddress {
    let scheme: String
    let host: String
    let port: Int
    var hasTLS: Bool { scheme.hasSuffix("+tls") }
    var hasSASL: Bool { scheme.contains("+sasl") }
    var isEverywhere: Bool { ["0.0.0.0", "::", ""].contains(host) }
    var withoutPort: String { "\(scheme)://\(host.contains(":") ? "[\(host)]" : host)" }

    static let schemes = ["kafka", "kafka+tls", "kafka+sasl", "kafka+sasl+tls"]
    /// What an address may be, for people.
    static let forms = "kafka://, kafka+tls://, kafka+sasl:// or kafka+sasl+tls://, with HOST[:PORT] behind it"

    init(_ url: String) throws {
        let parts = url.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, Self.schemes.contains(parts[0]) else {
            throw ValidationError("'\(url)' is not \(Self.forms)")
        }
        scheme = parts[0]
        var rest = Substring(parts[1])
        if rest.hasPrefix("["), let end = rest.firstIndex(of: "]") {
            host = String(rest[rest.index(after: rest.startIndex)..<end])
            rest = rest[rest.index(after: end)...]
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            host = String(rest[..<colon])
            rest = rest[colon...]
        }
        guard !host.isEmpty, let port = rest.isEmpty ? 9092 : UInt16(rest.dropFirst()),
            rest.isEmpty || rest.first == ":"
        else { throw ValidationError("'\(url)' has no host, or a port that is not a number") }
        self.port = Int(port)
    }
}
