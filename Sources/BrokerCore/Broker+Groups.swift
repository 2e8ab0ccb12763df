internal import RecordFormat
internal import TopicLog
package import TopicProtocol

// Consumer groups: requests to the coordinator, its records to `__consumer_offsets`, and back from there at the start.
extension Broker {
    /// Where groups and committed offsets are kept: Kafka's name, partitions by group, compacted.
    package static let offsetsTopic = "__consumer_offsets"
    /// A topic of the broker's own: clients read it, but neither write nor change it.
    package static func isInternal(_ topic: String) -> Bool { topic == offsetsTopic || topic == transactionsTopic }
    /// Stands for the broker itself where doors have numbers.
    static let ownDoor = -1

    static func refuseInternal(_ topic: String) throws(BrokerError) {
        if isInternal(topic) { throw .ownTopic(topic) }
    }

    /// Begins to read committed offsets and transactions. Requests about them are refused until they are in memory.
    /// - Parameters:
    ///   - now: Nanoseconds of a monotonic clock.
    ///   - nowMilliseconds: Since 1970.
    package func startGroups(now: UInt64, nowMilliseconds: Int64) {
        setClocks(now: now, nowMilliseconds: nowMilliseconds)
        guard groups.isLoading, loader == nil else { return }
        loader = OffsetsLoader(topics[Self.offsetsTopic] ?? [])
        transactionsLoader = OffsetsLoader(topics[Self.transactionsTopic] ?? [])
    }

    func setClocks(now: UInt64, nowMilliseconds: Int64) {
        groups.setClock(now: now, nowMilliseconds: nowMilliseconds)
        transactions.setClock(now: now, nowMilliseconds: nowMilliseconds)
    }

    package var isLoadingGroups: Bool { groups.isLoading }

    /// Takes a request about groups. Exactly one ``GroupAnswer`` follows, at once or later.
    /// - Parameters:
    ///   - host: How the door names the peer.
    ///   - now: Nanoseconds of the monotonic clock.
    package func handle(_ request: GroupRequest, from origin: ProduceOrigin, host: String, now: UInt64) {
        groups.handle(request, from: origin, host: host, now: now)
    }

    /// What groups do in a turn before batches are appended.
    func advanceGroups(now: UInt64, heardUntil: UInt64) {
        if let loader { load(loader) }
        groups.advance(now: now, heardUntil: heardUntil)
        guard groups.hasWrites, mayWriteGroups else { return }
        for write in groups.takeWrites() {
            do throws(BrokerError) { try stage(write) } catch {
                effects.troubles[Self.offsetsTopic] = error.description
                groups.finish(write.token, error: error.code)
            }
        }
    }

    /// Tells the coordinator what became of its records, and the doors what it has to say.
    func finishGroups() {
        while !groupAcks.isEmpty {
            let acks = groupAcks
            groupAcks.removeAll(keepingCapacity: true)
            for (token, error) in acks { groups.finish(token, error: error) }
        }
        effects.answers += groups.takeAnswers()
    }

    /// Whether the loop must take another turn at once.
    var mustAdvanceGroups: Bool {
        loader != nil || (groups.hasWrites && mayWriteGroups) || groups.patterns.isIncomplete
    }

    /// Not while another change has the directory and the topic is still to be made.
    private var mayWriteGroups: Bool { !directory.isChanging || topics[Self.offsetsTopic] != nil }

    // MARK: Writing

    private func stage(_ write: GroupWrite) throws(BrokerError) {
        let partitions = try offsetsPartitions()
        let batch = GroupBatch(write.records, in: write.producer, timestampMilliseconds: groups.nowMilliseconds)
        stageOwn(
            batch, token: write.token, Self.groupWrite,
            in: partitions[Self.place(of: write.group, among: partitions.count)])
    }

    /// Stages a batch of the broker's own.
    /// - Parameter kind: Who is told by the token what became of it.
    func stageOwn(_ batch: GroupBatch, token: UInt64, _ kind: UInt32, in partition: Partition) {
        ownBatches.append(batch)
        let origin = ProduceOrigin(door: Self.ownDoor, session: token, requestID: kind)
        stage(unsafe ProducedBatch(bytes: batch.bytes, origin: origin), in: partition)
    }

    func offsetsPartitions() throws(BrokerError) -> [Partition] {
        try ownPartitions(Self.offsetsTopic, count: groups.options.offsetsTopicPartitions)
    }

    /// The partitions of a topic of the broker's own. It is created when it is first needed.
    func ownPartitions(_ topic: String, count: Int) throws(BrokerError) -> [Partition] {
        if let partitions = topics[topic] { return partitions }
        let configs = [
            TopicConfig(name: "cleanup.policy", value: "compact"),
            TopicConfig(name: "segment.bytes", value: "\(100 << 20)"),
        ]
        try createOwn(TopicCreation(topic, partitions: count, configs: configs))
        return topics[topic]!
    }

    /// Kafka's rule: `abs(group.hashCode()) % partitions`, with Java's hash of a string.
    static func place(of group: String, among partitions: Int) -> Int {
        let hash = group.utf16.reduce(Int32(0)) { $0 &* 31 &+ Int32($1) }
        return Int(hash == .min ? 0 : abs(hash)) % partitions
    }

    // MARK: Loading

    private func load(_ loader: OffsetsLoader) {
        let hasMore = step(loader, Self.offsetsTopic) { [groups] (header, record) in
            // What a later version wrote is left alone.
            guard let key = unsafe record.key, let known = unsafe GroupRecord(key: key, value: record.value) else {
                return
            }
            groups!.load(known, in: header.isTransactional ? header.producerID : nil)
        } end: { [self] (header, marker, partition) in
            endOffsets(
                of: header.producerID, isCommit: marker.isCommit, in: Int(partition.address.partition))
        }
        guard !hasMore else { return }
        self.loader = nil
        groups.finishLoading()
    }

    /// Reads a piece of a topic of the broker's own; false at its end.
    func step(
        _ loader: OffsetsLoader, _ topic: String, _ take: (RecordBatchHeader, RecordView) -> Void,
        end: (RecordBatchHeader, EndTransactionMarker, Partition) -> Void = { _, _, _ in }
    ) -> Bool {
        var hasMore = true
        do throws(LogError) {
            hasMore = try loader.step(take, end: end)
        } catch {
            // What cannot be read is given up; the rest is still worth having.
            effects.troubles[topic] = "\(error): what was stored there is lost"
            loader.skipPartition()
        }
        if let trouble = loader.takeTrouble() { effects.troubles[topic] = trouble }
        return hasMore
    }
}
