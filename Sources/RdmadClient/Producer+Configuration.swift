// Exported: `CompressionType` and `RecordHeader` are part of this library, and what is public there is nothing else.
@_exported public import RecordFormat

extension Producer {
    /// When a record counts as delivered (Kafka's `acks`).
    public enum Acks: Sendable, Hashable {
        /// When its batch has been announced. No answer is waited for, nothing is sent twice, and a lost connection may
        /// lose records without an error. Memory stays bounded: the broker still says when it has read a batch.
        case none
        /// When the broker counts it as written, by the topic's flush policy: with `group` it is on the disk. Kafka's
        /// `1` and `all` are the same with one broker.
        case all
    }

    /// Settings, named and preset as Kafka's.
    public struct Configuration: Sendable {
        /// Longest batch before compression, in bytes: 1024 to 1,048,576 (`batch.size`). A record must fit.
        public var batchBytes = 65_536
        /// How long a batch waits for more records, in milliseconds (`linger.ms`). On one processor a full batch waits
        /// so long for others, too, that are announced with it.
        public var lingerMilliseconds = 5
        /// Batches of one partition that are announced and not acknowledged: 1 to 5, as many as the broker remembers
        /// (`max.in.flight.requests.per.connection`).
        public var batchesInFlightMax = 5
        /// Memory for batches, in bytes (`buffer.memory`). It is set aside in pieces of ``batchBytes``, one for each
        /// batch that is open, waits or is in flight.
        public var bufferBytes = 32 << 20
        /// Time after which a batch that could not be delivered fails, in seconds, its linger included
        /// (`delivery.timeout.ms`). One that was announced is waited for longer while the broker acknowledges others of
        /// its partition; the broker gets as long for its answer, but 30 s at most.
        public var deliveryTimeoutSeconds = 120.0
        /// Batches up to this many bytes travel inside their announcement.
        public var eagerBytesMax = 4096
        /// When a record counts as delivered (`acks`).
        public var acks = Acks.all
        /// How batches are compressed (`compression.type`). One that would become larger is sent as it is.
        public var compression = CompressionType.none
        /// How hard a codec tries (`compression.gzip.level`, `compression.lz4.level`, `compression.zstd.level`): gzip 1
        /// to 9, lz4 1 to 12, zstd −131072 to 22. Without an entry, the codec's own default.
        public var compressionLevels: [CompressionType: Int] = [:]
        /// Which partition a record goes to (`partitioner.class`, `partitioner.ignore.keys`).
        public var partitioner = Partitioner.murmur2
        /// How often, in milliseconds, the topic is asked about: it may have more partitions by then, or another
        /// `max.message.bytes` (`metadata.max.age.ms`).
        public var metadataMaxAgeMilliseconds = 300_000
        /// Whom the broker counts quotas for (`client.id`): at most 32 bytes; empty for nobody in particular.
        public var clientID = ""
        /// As it was set; idempotence itself follows from ``acks``.
        private var isIdempotent: Bool?
        /// The defaults.
        public init() {}

        /// Sets one by Kafka's name for it, from Kafka's text.
        ///
        /// `acks`, `batch.size`, `buffer.memory`, `client.id`, `compression.type`, `compression.gzip.level`,
        /// `compression.lz4.level`, `compression.zstd.level`, `delivery.timeout.ms`, `enable.idempotence`, `linger.ms`,
        /// `max.in.flight.requests.per.connection`, `metadata.max.age.ms`, `partitioner.class`,
        /// `partitioner.ignore.keys`.
        /// - Throws: ``ClientError/Code/limit`` when there is no such setting, or no such value of it.
        public mutating func set(_ name: String, to value: String) throws(ClientError) {
            func refused(_ what: String) -> ClientError { ClientError(.limit, "\(name) is \(what), not '\(value)'") }
            func integer() throws(ClientError) -> Int {
                guard let number = Int(value) else { throw refused("a whole number") }
                return number
            }
            switch name {
            case "client.id": clientID = value
            case "acks":
                guard let acks = ["0": Acks.none, "1": .all, "-1": .all, "all": .all][value] else {
                    throw refused("0, 1 or all")
                }
                self.acks = acks
            case "batch.size": batchBytes = try integer()
            case "buffer.memory": bufferBytes = try integer()
            case "compression.type":
                guard let type = CompressionType(name: value) else {
                    throw refused("one of " + CompressionType.allCases.map(\.description).joined(separator: ", "))
                }
                compression = type
            case "compression.gzip.level": compressionLevels[.gzip] = try integer()
            case "compression.lz4.level": compressionLevels[.lz4] = try integer()
            case "compression.zstd.level": compressionLevels[.zstd] = try integer()
            case "delivery.timeout.ms": deliveryTimeoutSeconds = Double(try integer()) / 1000
            case "enable.idempotence":
                guard let isIdempotent = Bool(value) else { throw refused("true or false") }
                self.isIdempotent = isIdempotent
            case "linger.ms": lingerMilliseconds = try integer()
            case "max.in.flight.requests.per.connection": batchesInFlightMax = try integer()
            case "metadata.max.age.ms": metadataMaxAgeMilliseconds = try integer()
            case "partitioner.class":
                switch value.split(separator: ".").last {
                case "DefaultPartitioner": partitioner = .murmur2
                case "UniformStickyPartitioner": partitioner = .uniformSticky
                case "RoundRobinPartitioner": partitioner = .roundRobin
                default: throw refused("DefaultPartitioner, UniformStickyPartitioner or RoundRobinPartitioner")
                }
            case "partitioner.ignore.keys":
                guard let ignores = Bool(value) else { throw refused("true or false") }
                if ignores { partitioner = .uniformSticky }
            default: throw ClientError(.limit, "a producer has no setting '\(name)'")
            }
        }

        /// - Throws: ``ClientError/Code/limit``, saying which setting is outside its range.
        func check() throws(ClientError) {
            func range<Value>(
                _ name: String, _ value: Value, _ range: ClosedRange<Value>
            ) throws(ClientError) {
                guard range.contains(value) else {
                    throw ClientError(
                        .limit, "\(name) is \(range.lowerBound) to \(range.upperBound), not \(value)")
                }
            }
            try range("batchBytes (batch.size)", batchBytes, 1024...1 << 20)
            try range("bufferBytes (buffer.memory)", bufferBytes, batchBytes...1 << 30)
            // The broker remembers five batches of a producer.
            try range("batchesInFlightMax (max.in.flight.requests.per.connection)", batchesInFlightMax, 1...5)
            try range("lingerMilliseconds (linger.ms)", lingerMilliseconds, 0...86_400_000)
            let times = 1...Int(Int32.max)
            try range("metadataMaxAgeMilliseconds (metadata.max.age.ms)", metadataMaxAgeMilliseconds, times)
            let linger = Double(lingerMilliseconds) / 1000
            guard deliveryTimeoutSeconds > linger, deliveryTimeoutSeconds <= 86_400 * 365 else {
                throw ClientError(
                    .limit, "deliveryTimeoutSeconds (delivery.timeout.ms) is more than the linger of \(linger) s, "
                        + "up to a year, not \(deliveryTimeoutSeconds) s")
            }
            guard isIdempotent ?? (acks != .none) == (acks != .none) else {
                throw ClientError(.limit, "enable.idempotence is true, and with acks=0 false: acks decides")
            }
            for (type, level) in compressionLevels {
                guard let levels = Producer.compressionLevels(of: type) else {
                    throw ClientError(.limit, "\(type) has no levels")
                }
                try range("the level of \(type) (compression.\(type).level)", level, levels)
            }
        }
    }
}
