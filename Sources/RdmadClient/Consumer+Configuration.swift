internal import RDMATransport
internal import TopicProtocol

extension Consumer {
    /// Settings. Those of groups have Kafka's names and meanings.
    public struct Configuration: Sendable {
        /// Memory that the broker writes into, in bytes: 4096 to 1 GiB, a multiple of 4096. A batch must fit.
        public var ringBytes = 8 << 20
        /// The most bytes that one compressed batch may become; more is an error.
        public var decompressedBytesMax = 64 << 20
        /// `isolation.level`.
        public var isolationLevel = IsolationLevel.readUncommitted
        /// `auto.offset.reset`: where to go on when the offset to be read is not in the log, mostly because it was
        /// deleted before it was read. In a group also where to begin where it has committed nothing, not `from`. What
        /// was received is read first.
        ///
        /// nil: in a group `from` says it. Otherwise a partition whose records were deleted while it was being read
        /// goes on where its reading was to begin, and with the earliest record when that was an offset. An offset that
        /// is not there at the start, or after a seek, is the error OFFSET_OUT_OF_RANGE, and so is one that the log has
        /// not reached: a broker has lost records, or the topic is another one of that name.
        public var offsetReset: OffsetReset?
        /// Told of a partition that goes on elsewhere, as ``offsetReset`` says, and of the offset that was to be read
        /// next. Runs on a task of its own, one call after another; reading goes on meanwhile.
        public var onOffsetReset: (@Sendable (_ partition: TopicPartition, _ offset: Int64) -> Void)?
        /// Check every batch's CRC-32C.
        public var checksCRCs = true
        /// How long to try to connect at first, in seconds.
        public var connectTimeoutSeconds = 10.0
        /// How long to try to connect again when the connection was lost, in seconds.
        public var reconnectTimeoutSeconds = 120.0
        /// `group.id`: the consumer group to be a member of, or, when partitions are named, to keep offsets for.
        public var groupID: String?
        /// `group.instance.id`: a name that survives a restart. Such a member does not leave when it is closed; it has
        /// the session time-out to come back in, and then gets what it had.
        public var instanceID: String?
        /// `client.id`: for those who look at the group, and whom the broker counts quotas for. At most 32 bytes.
        public var clientID = "rdmad"
        /// `session.timeout.ms`: a member that was not heard of for so long is out of the group.
        public var sessionTimeoutMilliseconds = 45_000
        /// `heartbeat.interval.ms`: at most a third of the session time-out, so that a lost one does no harm.
        public var heartbeatIntervalMilliseconds = 3000
        /// `max.poll.interval.ms`: a reader that has not asked for so long has its partitions given to others until it
        /// asks again. The group also waits so long for members to join again in a rebalance.
        public var maxPollIntervalMilliseconds = 300_000
        /// `partition.assignment.strategy`, the preferred one first. All members must have one in common. Partitions
        /// keep flowing during a rebalance only when all of these are cooperative.
        public var assignors: [Assignor] = [.cooperativeSticky]
        /// `enable.auto.commit`: commit what was released, every so often, before partitions go to others, and when
        /// closing. What was not released comes again: at-least-once. For at-most-once switch it off and
        /// ``Consumer/commit()`` before processing.
        public var autoCommit = true
        /// `auto.commit.interval.ms`.
        public var autoCommitIntervalMilliseconds = 5000
        /// `metadata.max.age.ms`: how often new partitions are looked for, and by a group's leader new topics.
        public var metadataMaxAgeMilliseconds = 300_000
        /// Told of partitions that come and go. The consumer waits for it, at most half of the session time-out: seek
        /// or commit here. It must not wait for ``Consumer/next()``.
        public var onRebalance: (@Sendable (RebalanceEvent) async -> Void)?
        /// Messages that the broker may have on their way: a power of two. For tests.
        package var messagesInFlight = FabricConfiguration.client.messagesInFlight
        /// The defaults.
        public init() {}

        /// Sets one by Kafka's name for it, from Kafka's text.
        ///
        /// `auto.commit.interval.ms`, `auto.offset.reset`, `check.crcs`, `client.id`, `enable.auto.commit`, `group.id`,
        /// `group.instance.id`, `heartbeat.interval.ms`, `isolation.level`, `max.poll.interval.ms`,
        /// `metadata.max.age.ms`, `partition.assignment.strategy`, `session.timeout.ms`.
        /// - Throws: ``ClientError/Code/limit`` when there is no such setting, or no such value of it.
        public mutating func set(_ name: String, to value: String) throws(ClientError) {
            func refused(_ what: String) -> ClientError { ClientError(.limit, "\(name) is \(what), not '\(value)'") }
            func integer() throws(ClientError) -> Int {
                guard let number = Int(value) else { throw refused("a whole number") }
                return number
            }
            func truth() throws(ClientError) -> Bool {
                guard let truth = Bool(value) else { throw refused("true or false") }
                return truth
            }
            switch name {
            case "auto.commit.interval.ms": autoCommitIntervalMilliseconds = try integer()
            case "auto.offset.reset":
                guard let reset = OffsetReset(rawValue: value) else { throw refused("earliest, latest or none") }
                offsetReset = reset
            case "check.crcs": checksCRCs = try truth()
            case "client.id": clientID = value
            case "enable.auto.commit": autoCommit = try truth()
            case "group.id": groupID = value
            case "group.instance.id": instanceID = value
            case "heartbeat.interval.ms": heartbeatIntervalMilliseconds = try integer()
            case "isolation.level":
                guard let level = IsolationLevel(rawValue: value) else {
                    throw refused("read_uncommitted or read_committed")
                }
                isolationLevel = level
            case "max.poll.interval.ms": maxPollIntervalMilliseconds = try integer()
            case "metadata.max.age.ms": metadataMaxAgeMilliseconds = try integer()
            case "partition.assignment.strategy":
                var assignors: [Assignor] = []
                for name in value.split(separator: ",", omittingEmptySubsequences: false) {
                    guard let assignor = Assignor(kafkaName: name) else {
                        throw refused("a list of " + Assignor.allCases.map(\.rawValue).joined(separator: ", "))
                    }
                    assignors.append(assignor)
                }
                self.assignors = assignors
            case "session.timeout.ms": sessionTimeoutMilliseconds = try integer()
            default: throw ClientError(.limit, "a consumer has no setting '\(name)'")
            }
        }

        func check() throws(ClientError) {
            func require(_ condition: Bool, _ text: String) throws(ClientError) {
                if !condition { throw ClientError(.limit, text) }
            }
            try require(
                ringBytes >= 4096 && ringBytes % 4096 == 0 && ringBytes <= 1 << 30,
                "ringBytes is 4096 to 1073741824, a multiple of 4096")
            try require(
                metadataMaxAgeMilliseconds > 0 && metadataMaxAgeMilliseconds <= Int(Int32.max),
                "metadataMaxAgeMilliseconds (metadata.max.age.ms) is 1 to 2147483647")
            guard let groupID else { return }
            try require(!groupID.isEmpty && groupID.utf8.count <= 32_767, "groupID has 1 to 32767 bytes")
            try require(instanceID?.isEmpty != true, "instanceID is empty")
            try require(!assignors.isEmpty, "assignors is empty")
            let times = [
                sessionTimeoutMilliseconds, heartbeatIntervalMilliseconds, maxPollIntervalMilliseconds,
                autoCommitIntervalMilliseconds,
            ]
            try require(
                times.allSatisfy { $0 > 0 && $0 <= Int(Int32.max) }, "times are 1 to 2147483647 milliseconds")
            try require(
                heartbeatIntervalMilliseconds < sessionTimeoutMilliseconds,
                "heartbeatIntervalMilliseconds (\(heartbeatIntervalMilliseconds)) must be below "
                    + "sessionTimeoutMilliseconds (\(sessionTimeoutMilliseconds))")
        }
    }

    /// Where to begin in a partition.
    public enum Position: Sendable, Hashable {
        case earliest
        /// With the next record that is produced.
        case latest
        case offset(Int64)
        /// With the first record of at least this time, in milliseconds since 1970; with the next one when none is.
        case timestamp(Int64)
    }

    /// Where to go on when the offset to be read is not in the log.
    public enum OffsetReset: String, Sendable, CaseIterable {
        /// With the oldest record that there is.
        case earliest
        /// With the next record that is produced.
        case latest
        /// Nowhere: it is the error OFFSET_OUT_OF_RANGE. A member of a group that has committed nothing for a partition
        /// fails, too, unless ``Configuration/onRebalance`` seeks in it.
        case fail = "none"

        var position: Position? {
            switch self {
            case .earliest: .earliest
            case .latest: .latest
            case .fail: nil
            }
        }
    }

    /// Which records of transactions are read.
    public enum IsolationLevel: String, Sendable, CaseIterable {
        /// All, those of open and aborted transactions, too.
        case readUncommitted = "read_uncommitted"
        /// Nothing of open and aborted transactions, and nothing behind the first open one.
        case readCommitted = "read_committed"

        var number: TopicProtocol.IsolationLevel { self == .readCommitted ? .readCommitted : .readUncommitted }
    }

    /// What a rebalance did to a member of a group.
    public enum RebalanceEvent: Sendable, Hashable {
        /// These are read from now on. Reading begins after the handler has returned.
        case assigned([TopicPartition])
        /// These are given up when the handler has returned. What was read of them can still be committed.
        case revoked([TopicPartition])
        /// These belong to others already: the member was out of the group for a while. Nothing can be committed.
        case lost([TopicPartition])
    }
}
