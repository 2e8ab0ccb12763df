/// What a Kafka listener says about itself, and what it allows. Kafka's names where Kafka has one.
package struct KafkaDoorOptions: Sendable {
    /// As in logs: `kafka://0.0.0.0:9092`.
    package var address = ""
    /// The only broker (`node.id`).
    package var nodeID: Int32 = 1
    /// Where clients are told to connect to (`advertised.listeners`).
    package var advertisedHost = "localhost"
    package var advertisedPort: Int32 = 9092
    /// Whether a topic that is asked about is made (`auto.create.topics.enable`).
    package var createsTopics = true
    /// Partitions of a topic where nobody says how many (`num.partitions`).
    package var partitionsPerTopic = 1
    /// The longest answer to a fetch, but for a single batch, in bytes (`fetch.max.bytes`).
    package var fetchBytesMax = 55 << 20
    /// Producers that one answer names, but for those of a single partition. About 40 bytes each.
    package var describedProducersMax = 100_000
    /// Partitions that connections are remembered to read, of all connections: each takes up to half a KiB.
    package var readersMax = 1_000_000

    /// Memory for fetch sessions, of all connections, in bytes. Who comes later has none.
    package var sessionBytesMax = 128 << 20

    /// Kafka's defaults.
    package init() {}
}
