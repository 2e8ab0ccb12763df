import ArgumentParser
import RdmadClient

/// What `produce` sets of the client library's producer.
struct ProducerOptions: ParsableArguments {
    @Option(help: "Longest batch before compression, in bytes.") var batchBytes: Int?
    @Option(help: "Milliseconds that a batch waits for more records.") var lingerMs: Int?
    @Option(help: "Batches up to this many bytes travel inside their announcement; larger ones are pulled.")
    var eagerBytes: Int?
    @Option(help: "Seconds after which a batch that could not be delivered fails.") var deliveryTimeout: Double?
    @Option(help: "When a record counts as delivered: all (or 1) by the topic's flush policy, 0 when it is announced.")
    var acks: String?
    @Option(name: [.long, .customShort("z")], help: "none, gzip, snappy, lz4 or zstd.") var compression: String?
    @Option(help: "How hard the codec tries: gzip 1 to 9, lz4 1 to 12, zstd -131072 to 22.") var compressionLevel: Int?
    @Option(help: "murmur2 (Kafka's default: by key, without one sticky), sticky or round-robin.")
    var partitioner: String?
    @Option(help: "Whom the broker counts quotas for, at most 32 bytes (client.id).") var clientID: String?
    @Option(
        name: [.long, .customShort("X")],
        help: ArgumentHelp("A setting by Kafka's name, such as batch.size=16384.", valueName: "name=value"))
    var config: [String] = []

    /// The settings, in the order: defaults, `--config`, options of their own.
    func configuration() throws -> Producer.Configuration {
        var result = Producer.Configuration()
        for setting in config {
            let (name, value) = try nameAndValue(of: setting)
            try set(name, value, &result)
        }
        if let batchBytes { result.batchBytes = batchBytes }
        if let lingerMs { result.lingerMilliseconds = lingerMs }
        if let eagerBytes { result.eagerBytesMax = eagerBytes }
        if let deliveryTimeout { result.deliveryTimeoutSeconds = deliveryTimeout }
        if let acks { try set("acks", acks, &result) }
        if let compression { try set("compression.type", compression, &result) }
        if let compressionLevel { result.compressionLevels[result.compression] = compressionLevel }
        if let clientID { result.clientID = clientID }
        switch partitioner {
        case nil: break
        case "murmur2": result.partitioner = .murmur2
        case "sticky": result.partitioner = .uniformSticky
        case "round-robin": result.partitioner = .roundRobin
        case let other?: throw ValidationError("--partitioner is murmur2, sticky or round-robin, not '\(other)'")
        }
        return result
    }

    private func set(_ name: String, _ value: String, _ configuration: inout Producer.Configuration) throws {
        do throws(ClientError) { try configuration.set(name, to: value) } catch { throw ValidationError("\(error)") }
    }

    func validate() throws { _ = try configuration() }
}
