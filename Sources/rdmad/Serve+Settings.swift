import ArgumentParser
import TopicProtocol

extension Serve {
    /// All settings by Kafka's names, where Kafka has one, for `rdmad config describe`. docs/settings.md lists them.
    func settings() throws -> [ConfigDescription] {
        zip(list(), try Serve.parse([]).list()).map { own, builtIn in
            ConfigDescription(
                name: own.name, value: own.value, source: own.value == builtIn.value ? .builtIn : .broker,
                isReadOnly: true)
        }
    }

    private func list() -> [(name: String, value: String)] {
        (listOfBroker + listOfCoordinators + listOfClients).map { ($0, Self.cut($1)) }
    }

    // In parts: the compiler gives up on longer literals.
    private var listOfBroker: [(name: String, value: String)] {
        [
            ("log.dirs", data.joined(separator: ",")),
            ("listeners", listen.joined(separator: ",")),
            ("advertised.listeners", kafka.advertised(listen).joined(separator: ",")),
            ("node.id", "\(kafka.nodeId)"),
            ("auto.create.topics.enable", "\(kafka.autoCreateTopicsEnable)"),
            ("num.partitions", "\(kafka.numPartitions)"),
            ("socket.request.max.bytes", "\(kafka.socketRequestMaxBytes)"),
            ("queued.max.request.bytes", "\(kafka.queuedMaxRequestBytes)"),
            ("queued.max.response.bytes", "\(kafka.queuedMaxResponseBytes)"),
            ("fetch.max.bytes", "\(kafka.fetchMaxBytes)"),
            ("zero.copy", "\(kafka.zeroCopy)"),
            ("num.network.threads", "\(kafka.connections.numNetworkThreads)"),
            ("connections.max.idle.ms", "\(kafka.connections.connectionsMaxIdleMs)"),
            ("ssl.keystore.certificate.chain", kafka.connections.tlsCertificate ?? ""),
            ("ssl.keystore.key", kafka.connections.tlsKey ?? ""),
            ("users", kafka.connections.users ?? ""),
            ("flush.policy", flush),
            ("arena.bytes", "\(arenaBytes)"),
            ("window.bytes", "\(windowBytes)"),
            ("message.max.bytes", "\(maxMessageBytes)"),
            ("validate.records", "\(validateRecords)"),
            ("log.segment.bytes", "\(segmentBytes)"),
            ("log.cleanup.policy", logCleanupPolicy),
            ("log.retention.ms", "\(logRetentionMs)"),
            ("log.retention.bytes", "\(logRetentionBytes)"),
            ("log.roll.ms", "\(logRollMs)"),
            ("log.retention.check.interval.ms", "\(logRetentionCheckIntervalMs)"),
            ("log.cleaner.delete.retention.ms", "\(logCleanerDeleteRetentionMs)"),
            ("max.connections", "\(limits.maxConnections)"),
            ("max.connections.per.seat", "\(seats.maxConnectionsPerSeat)"),
            ("seats", "\(seats.seats)"),
            ("seat.directory", seats.seatDirectory),
            ("topics.max", "\(limits.topicsMax)"),
            ("partitions.max", "\(limits.partitionsMax)"),
            ("in.flight.max", "\(limits.inFlightMax)"),
            ("subscriptions.max", "\(limits.subscriptionsMax)"),
            ("ring.bytes.max", "\(limits.ringBytesMax)"),
        ]
    }

    private var listOfCoordinators: [(name: String, value: String)] {
        [
            ("group.min.session.timeout.ms", "\(groups.groupMinSessionTimeoutMs)"),
            ("group.max.session.timeout.ms", "\(groups.groupMaxSessionTimeoutMs)"),
            ("group.initial.rebalance.delay.ms", "\(groups.groupInitialRebalanceDelayMs)"),
            ("group.consumer.session.timeout.ms", "\(groups.groupConsumerSessionTimeoutMs)"),
            ("group.consumer.heartbeat.interval.ms", "\(groups.groupConsumerHeartbeatIntervalMs)"),
            ("group.max.size", "\(groups.groupMaxSize)"),
            ("groups.max", "\(groups.groupsMax)"),
            ("offsets.max", "\(groups.offsetsMax)"),
            ("groups.bytes.max", "\(groups.groupsBytesMax)"),
            ("offsets.topic.num.partitions", "\(groups.offsetsTopicNumPartitions)"),
            ("offsets.retention.minutes", "\(groups.offsetsRetentionMinutes)"),
            ("offset.metadata.max.bytes", "\(groups.offsetMetadataMaxBytes)"),
            ("transaction.max.timeout.ms", "\(transactions.transactionMaxTimeoutMs)"),
            ("transactional.id.expiration.ms", "\(transactions.transactionalIdExpirationMs)"),
            ("producer.id.expiration.ms", "\(transactions.producerIdExpirationMs)"),
            ("transaction.state.log.num.partitions", "\(transactions.transactionStateLogNumPartitions)"),
            ("transactional.ids.max", "\(transactions.transactionalIdsMax)"),
            ("transaction.partitions.max", "\(transactions.transactionPartitionsMax)"),
            ("transactions.bytes.max", "\(transactions.transactionsBytesMax)"),
        ]
    }

    private var listOfClients: [(name: String, value: String)] {
        [
            ("fragment.timeout.ms", "\(limits.fragmentTimeoutMs)"),
            ("producer_byte_rate", limits.quotaProduce.joined(separator: ",")),
            ("consumer_byte_rate", limits.quotaConsume.joined(separator: ",")),
        ]
    }

    /// To what a frame takes.
    private static func cut(_ value: String) -> String {
        var value = value
        while value.utf8.count > FrameLimits.topicConfigBytesMax { value.removeLast() }
        return value
    }
}
