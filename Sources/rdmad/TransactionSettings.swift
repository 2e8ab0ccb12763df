import ArgumentParser
import BrokerCore

/// Options of `rdmad serve` about transactions and idempotent producers: Kafka's broker settings by name.
struct TransactionSettings: ParsableArguments {
    @Option(name: .long, help: "Longest time that a producer may give its transactions, in milliseconds.")
    var transactionMaxTimeoutMs: Int32 = 900_000

    @Option(name: .long, help: "How long a transactional id is remembered that nobody uses, in milliseconds.")
    var transactionalIdExpirationMs: Int64 = 7 * 24 * 3_600_000

    @Option(
        name: .long,
        help: "How long a partition remembers an idempotent producer that sends nothing, in milliseconds.")
    var producerIdExpirationMs: Int64 = 24 * 3_600_000

    @Option(name: .long, help: "Partitions of __transaction_state, when it is created.")
    var transactionStateLogNumPartitions = 4

    @Option(name: .long, help: "Transactional ids that the broker remembers.")
    var transactionalIdsMax = 100_000

    @Option(name: .long, help: "Partitions that one transaction may have.")
    var transactionPartitionsMax = 10_000

    @Option(name: .long, help: "Memory that all transactional ids and their transactions may take, in bytes.")
    var transactionsBytesMax = 64 << 20

    func validate() throws {
        guard transactionMaxTimeoutMs > 0 else { throw ValidationError("--transaction-max-timeout-ms is positive") }
        guard (1...1 << 52).contains(transactionalIdExpirationMs) else {
            throw ValidationError("--transactional-id-expiration-ms is 1 to 2^52")
        }
        guard (1...1 << 52).contains(producerIdExpirationMs) else {
            throw ValidationError("--producer-id-expiration-ms is 1 to 2^52")
        }
        guard (1...1_024).contains(transactionStateLogNumPartitions) else {
            throw ValidationError("--transaction-state-log-num-partitions is 1 to 1024")
        }
        guard transactionalIdsMax > 0, transactionPartitionsMax > 0 else {
            throw ValidationError("--transactional-ids-max and --transaction-partitions-max are positive")
        }
        guard transactionsBytesMax >= 1 << 20 else {
            throw ValidationError("--transactions-bytes-max is at least 1048576")
        }
    }

    var options: TransactionOptions {
        var options = TransactionOptions()
        options.timeoutMillisecondsMax = transactionMaxTimeoutMs
        options.expirationMilliseconds = transactionalIdExpirationMs
        options.topicPartitions = transactionStateLogNumPartitions
        options.idsMax = transactionalIdsMax
        options.partitionsMax = transactionPartitionsMax
        options.totalBytesMax = transactionsBytesMax
        return options
    }
}
