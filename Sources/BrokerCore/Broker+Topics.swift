internal import RecordFormat
package import TopicLog
package import TopicProtocol

/// Topics come, grow, change and go.
extension Broker {
    /// Partitions that one turn makes, or those of one topic: clients wait for nothing longer.
    static let createdPerTurnMax = 256
    /// Creations that may wait for a turn.
    static let creationsMax = 10_000

    /// Creates a topic, or partitions of one, in one of the next ``commit(now:)``: those that wait there are made
    /// together, with the syncs of one. The answer is among the effects.
    package func stageCreation(_ creation: TopicCreation, _ origin: ProduceOrigin) {
        guard creations.count < Self.creationsMax else {
            let text = "\(creations.count) topics wait to be created, no more may: ask again"
            return effects.created[origin.door].append((origin, BrokerError(.limitReached, text)))
        }
        creations.append((creation, origin))
    }

    /// Creates a topic.
    package func createTopic(_ name: String, partitions: Int, configs: [TopicConfig] = []) throws(BrokerError) {
        if let error = create([TopicCreation(name, partitions: partitions, configs: configs)])[0] { throw error }
    }

    /// Gives a topic more partitions.
    /// - Parameter total: How many there shall be.
    package func addPartitions(_ topic: String, total: Int) throws(BrokerError) {
        if let error = create([TopicCreation(name: topic, partitions: total, configs: nil)])[0] { throw error }
    }

    /// Makes what waits, as much as a turn has time for.
    func createStaged() {
        var partitions = 0
        let turn = creations.prefix { waiting in
            defer { partitions += waiting.creation.partitions }
            return partitions == 0 || partitions + waiting.creation.partitions <= Self.createdPerTurnMax
        }
        creations.removeFirst(turn.count)
        make(turn)
    }

    /// Makes what waits under one name.
    private func createStaged(named name: String) {
        let own = creations.filter { $0.creation.name == name }
        creations.removeAll { $0.creation.name == name }
        make(own[...])
    }

    private func make(_ waiting: ArraySlice<(creation: TopicCreation, origin: ProduceOrigin)>) {
        guard !waiting.isEmpty else { return }
        for ((_, origin), error) in zip(waiting, create(waiting.map(\.creation))) {
            effects.created[origin.door].append((origin, error))
        }
    }

    /// - Parameter own: For the broker itself: its own topics, too.
    func create(_ wanted: [TopicCreation], own: Bool = false) -> [BrokerError?] {
        var errors = [BrokerError?](repeating: nil, count: wanted.count)
        var admitted: [Int] = []
        var (topicCount, partitionCount) = (topicCount, partitionCount)
        for (index, creation) in wanted.enumerated() {
            let isNew = creation.configs != nil
            let more = creation.partitions - (isNew ? 0 : topics[creation.name]?.count ?? 0)
            if !own, Self.isInternal(creation.name) {
                errors[index] = .ownTopic(creation.name)
            } else if isNew, topicCount >= limits.topicsMax {
                errors[index] = BrokerError(
                    .limitReached,
                    "the broker holds \(topicCount) topics, the limit is \(limits.topicsMax) (--topics-max)")
            } else if more > limits.partitionsMax - partitionCount {
                errors[index] = BrokerError(
                    .limitReached,
                    "the broker holds \(partitionCount) partitions, the limit is \(limits.partitionsMax) "
                        + "(--partitions-max): \(more) more are too many")
            } else {
                topicCount += isNew ? 1 : 0
                partitionCount += max(more, 0)
                admitted.append(index)
            }
        }
        for (index, error) in zip(admitted, directory.create(admitted.map { wanted[$0] })) {
            if let error { errors[index] = BrokerError(error) } else { adopt(wanted[index].name) }
        }
        return errors
    }

    /// Deletes a topic; whoever waits for its partitions is told.
    package func deleteTopic(_ name: String) throws(BrokerError) {
        try Self.refuseInternal(name)
        createStaged(named: name)
        var failure: LogError?
        do throws(LogError) { try directory.deleteTopic(name: name) } catch { failure = error }
        // It may be gone although the disk refused: its logs are closed then.
        if let failure, directory.partitionCount(topic: name) != nil { throw BrokerError(failure) }
        for partition in topics.removeValue(forKey: name) ?? [] { forget(partition) }
        groups.topicDeleted(name)
        effects.hasDeletedFiles = true
        effects.isReadable = true
        if let failure { throw BrokerError(failure) }
    }

    /// Changes some of a topic's configs: all of the changes, or none.
    package func alterConfigs(_ topic: String, _ changes: [ConfigChange]) throws(BrokerError) {
        try Self.refuseInternal(topic)
        do throws(LogError) { try directory.alterConfigs(topic: topic, changes.map { ($0.name, $0.value) }) } catch {
            throw BrokerError(error)
        }
        for partition in topics[topic] ?? [] { policyMayHaveChanged(partition) }
    }

    /// A topic's configs, or the broker's where the name is empty.
    package func describeConfigs(_ topic: String) throws(BrokerError) -> [ConfigDescription] {
        if topic.isEmpty { return settings }
        guard let options = topics[topic]?.first?.log.options else { throw .unknown(topic) }
        let own = Set(directory.configs(topic: topic).map(\.name))
        return zip(options.configs, LogOptions().configs).map { config, builtIn in
            ConfigDescription(
                name: config.name, value: config.value,
                source: own.contains(config.name) ? .topic : config.value == builtIn.value ? .builtIn : .broker,
                isReadOnly: false)
        }
    }

    /// Finds a record by its timestamp, or the log's ends: see ``AdminRequest/listOffsets(_:timestamp:)``.
    package func listOffsets(_ address: PartitionAddress, timestamp: Int64) throws(BrokerError) -> ListedOffset {
        guard let partition = partition(address) else { throw .unknown(address) }
        guard timestamp >= -3 else { throw BrokerError(.invalidRequest, "timestamp \(timestamp) means nothing") }
        let found: (offset: Offset, timestamp: Int64)?
        do throws(LogError) {
            switch timestamp {
            case -1: found = (partition.highWatermark, -1)
            case -2: found = (partition.log.logStartOffset, -1)
            case -3: found = try partition.log.latestRecord()
            default: found = try partition.log.offset(forTimestamp: timestamp)
            }
        } catch {
            throw BrokerError(error)
        }
        // What is not committed yet is nobody's to know.
        guard let found, found.offset < partition.highWatermark || timestamp == -1 || timestamp == -2 else {
            return ListedOffset(offset: -1, timestamp: -1)
        }
        return ListedOffset(offset: found.offset.rawValue, timestamp: found.timestamp)
    }

    /// Deletes the records before an offset, durably; −1: all that consumers may see.
    /// - Returns: where the log begins now.
    package func deleteRecords(_ address: PartitionAddress, before: Int64) throws(BrokerError) -> Int64 {
        guard let partition = partition(address) else { throw .unknown(address) }
        let end = before == -1 ? partition.highWatermark : Offset(max(before, 0))
        try Self.refuseInternal(partition.topic)
        guard before >= -1, end <= partition.highWatermark else {
            throw BrokerError(
                .offsetOutOfRange,
                "records before \(before) cannot be deleted: consumers see \(partition.name) up to "
                    + "\(partition.highWatermark)")
        }
        do throws(LogError) {
            let (start, removed) = try directory.deleteRecords(
                topic: partition.topic, partition: Int(address.partition), before: end)
            compactor?.release(removed)
            effects.hasDeletedFiles = true
            // Who reads below is told.
            effects.isReadable = true
            return start.rawValue
        } catch {
            throw BrokerError(error)
        }
    }
}

extension TopicCreation {
    package init(_ name: String, partitions: Int, configs: [TopicConfig]) {
        self.init(
            name: name, partitions: partitions, configs: Dictionary(configs.map { ($0.name, $0.value) }) { $1 })
    }
}

extension BrokerError {
    static func ownTopic(_ topic: String) -> BrokerError {
        BrokerError(.invalidTopic, "\(topic) is the broker's own topic")
    }

    static func unknown(_ topic: String) -> BrokerError {
        BrokerError(.unknownTopicOrPartition, "there is no topic named \(topic)")
    }

    static func unknown(_ address: PartitionAddress) -> BrokerError {
        BrokerError(.unknownTopicOrPartition, "there is no \(address)")
    }
}
