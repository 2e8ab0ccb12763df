/// Settings and limits of transactions. Kafka's names where Kafka has one.
package struct TransactionOptions: Sendable {
    /// The longest timeout that a producer may ask for (`transaction.max.timeout.ms`).
    package var timeoutMillisecondsMax: Int32 = 900_000
    /// How long a transactional id is remembered that nobody uses (`transactional.id.expiration.ms`).
    package var expirationMilliseconds: Int64 = 7 * 24 * 3_600_000
    /// Partitions of `__transaction_state` when it is created (`transaction.state.log.num.partitions`).
    package var topicPartitions = 4
    /// Transactional ids of one broker (`transactional.ids.max`).
    package var idsMax = 100_000
    /// Longest transactional id, in bytes.
    package var idBytesMax = 1_024
    /// Partitions of one transaction (`transaction.partitions.max`).
    package var partitionsMax = 10_000
    /// What all transactional ids and their transactions may take in memory, in bytes (`transactions.bytes.max`).
    package var totalBytesMax = 64 << 20

    /// Kafka's defaults, where Kafka has a limit.
    package init() {}
}
