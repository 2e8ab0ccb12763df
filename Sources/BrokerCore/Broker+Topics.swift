internal import RecordFormat
package import TopicLog
package import TopicProtocol

/// What topics are, and where their records are by time.
extension Broker {
    /// Names greater than `after`, in order, with their ids.
    package func listTopics(after: String, limit: Int) -> TopicList {
        let names = topicNames
        var (first, end) = (0, names.count)
        while first < end {
            let middle = (first + end) / 2
            if names[middle] > after { end = middle } else { first = middle + 1 }
        }
        var list = TopicList()
        for name in names[first...].prefix(limit) {
            let partitions = topics[name]!
            list.topics.append(
                TopicListing(
                    topicID: partitions[0].address.topicID, partitions: UInt32(partitions.count), name: name))
        }
        list.isCut = names.count - first > limit
        return list
    }

    package func describeTopic(_ name: String, firstPartition: UInt32) throws(BrokerError) -> TopicDescription {
        guard let partitions = topics[name] else { throw .unknown(name) }
        let listed = partitions.dropFirst(Int(firstPartition)).map { partition in
            PartitionDescription(
                logStartOffset: partition.log.logStartOffset.rawValue, highWatermark: partition.highWatermark.rawValue,
                logEndOffset: partition.log.logEndOffset.rawValue, isWritable: partition.log.refusal == nil)
        }
        return TopicDescription(
            topicID: partitions[0].address.topicID, partitionCount: UInt32(partitions.count),
            firstPartition: firstPartition, partitions: listed,
            configs: ownConfigs(name))
    }

    /// A topic's configs, or the broker's where the name is empty.
    package func describeConfigs(_ topic: String) throws(BrokerError) -> [ConfigDescription] {
        if topic.isEmpty { return settings }
        guard let options = topics[topic]?.first?.log.options else { throw .unknown(topic) }
        return Self.describe(options, own: Set(directory.configs(topic: topic).map(\.name)))
    }

    /// The configs that a topic would have.
    package func describeConfigs(of creation: TopicCreation) throws(BrokerError) -> [ConfigDescription] {
        let own = creation.configs ?? [:]
        do throws(LogError) {
            return Self.describe(try directory.options.applying(own), own: Set(own.keys))
        } catch { throw BrokerError(error) }
    }

    private static func describe(_ options: LogOptions, own: Set<String>) -> [ConfigDescription] {
        zip(options.configs, LogOptions().configs).map { config, builtIn in
            ConfigDescription(
                name: config.name, value: config.value,
                source: own.contains(config.name) ? .topic : config.value == builtIn.value ? .builtIn : .broker,
                isReadOnly: false)
        }
    }

    /// What one of a topic's configs stands at, its own or the broker's; nil when there is none of that name.
    package func topicConfig(_ name: String, of topic: String) -> String? {
        topics[topic]?.first?.log.options.configs.first { $0.name == name }?.value
    }

    /// What a topic was given of its own.
    package func ownConfigs(_ topic: String) -> [TopicConfig] {
        directory.configs(topic: topic).map { TopicConfig(name: $0.name, value: $0.value) }
    }

    /// The directories that partitions are in.
    package var logDirectories: [String] { directory.volumes.map(\.path) }

    /// Finds a record by its timestamp, or the log's ends: see ``AdminRequest/listOffsets(_:timestamp:)``.
    /// - Parameter isReadCommitted: The end is where transactions are decided, not only written.
    package func listOffsets(
        _ address: PartitionAddress, timestamp: Int64, isReadCommitted: Bool = false
    ) throws(BrokerError) -> ListedOffset {
        var lookup: TimeLookup?
        return try listOffsets(
            address, timestamp: timestamp, isReadCommitted: isReadCommitted, &lookup, segmentsMax: .max)!
    }

    /// The same in pieces.
    /// - Parameters:
    ///   - lookup: Nil at the first call, and then what the call before left there.
    ///   - segmentsMax: How many segments this call looks at.
    /// - Returns: nil when more are to be looked at.
    package func listOffsets(
        _ address: PartitionAddress, timestamp: Int64, isReadCommitted: Bool, _ lookup: inout TimeLookup?,
        segmentsMax: Int
    ) throws(BrokerError) -> ListedOffset? {
        guard let partition = partition(address) else { throw .unknown(address) }
        guard timestamp >= -3 else { throw BrokerError(.invalidRequest, "timestamp \(timestamp) means nothing") }
        let end = isReadCommitted ? try lastStableOffset(of: partition) : partition.highWatermark
        let found: (offset: Offset, timestamp: Int64)?
        switch timestamp {
        case -1: found = (end, -1)
        case -2: found = (partition.log.logStartOffset, -1)
        default:
            var going = lookup ?? TimeLookup(timestamp == -3 ? .latest : .notBefore(timestamp))
            defer { lookup = going }
            do throws(LogError) {
                if try partition.log.goOn(with: &going, segmentsMax: segmentsMax) { return nil }
            } catch {
                throw BrokerError(error)
            }
            found = going.found
        }
        // What is not committed yet is nobody's to know.
        guard let found, found.offset < end || timestamp == -1 || timestamp == -2 else {
            return ListedOffset(offset: -1, timestamp: -1)
        }
        return ListedOffset(offset: found.offset.rawValue, timestamp: found.timestamp)
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
