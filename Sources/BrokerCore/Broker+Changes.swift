internal import RecordFormat
package import TopicLog
package import TopicProtocol

/// What somebody wants done to topics.
package enum TopicChange: Sendable {
    /// A topic, or more partitions of one.
    case create(TopicCreation)
    case delete(String)
    /// Some configs: all of the changes, or none.
    case alter(String, [ConfigChange])
    /// The records before an offset; −1: all that consumers may see.
    case deleteRecords(PartitionAddress, before: Int64)

    /// Of deleted records, where the log begins now.
    package typealias Result = Swift.Result<Int64?, BrokerError>
}

/// Topics come, grow, change and go: one change after another, without the others waiting for the disk.
extension Broker {
    /// Partitions that one change makes, or those of one topic: nothing else waits longer for its turn.
    static let createdAtOnceMax = 512
    /// Changes that may wait.
    static let changesMax = 10_000

    /// Has topics changed, in the order of the calls; creations that wait together share their syncs. The answer is
    /// among the effects of a later turn.
    package func stage(_ change: TopicChange, _ origin: ProduceOrigin) {
        guard changes.count < Self.changesMax else {
            let text = "\(changes.count) changes of topics wait, no more may: ask again"
            return answer(origin, .failure(BrokerError(.limitReached, text, isTransient: true)))
        }
        changes.append((change, origin))
    }

    /// What is to be done on the disk next, and then; nil when nothing waits. What cannot begin is answered.
    func nextChange() -> (work: @Sendable () -> DirectoryOutcome, finish: (DirectoryOutcome) -> Void)? {
        while let (change, origin) = changes.first {
            do throws(BrokerError) {
                if case .create = change { return beginCreations() }
                changes.removeFirst()
                let (work, finish) = try begin(change)
                return (work, { [self] in answer(origin, finish($0)) })
            } catch {
                answer(origin, .failure(error))
            }
        }
        return nil
    }

    /// Does a change at once, on the calling thread: while no other is under way.
    /// - Returns: as ``TopicChange/Result``.
    @discardableResult
    package func perform(_ change: TopicChange) throws(BrokerError) -> Int64? {
        let (work, finish) = try begin(change)
        return try finish(work()).get()
    }

    /// Whether a creation or an alteration would be done, as things are.
    package func check(_ change: TopicChange) throws(BrokerError) {
        switch change {
        case .create(let creation):
            if let error = admit([creation], own: false).errors[0] { throw error }
            try inDirectory { () throws(LogError) in try directory.check(creation) }
        case .alter(let topic, let changes):
            try Self.refuseInternal(topic)
            try inDirectory { () throws(LogError) in
                try directory.check(topic: topic, changes.map { ($0.name, $0.value) })
            }
        case .delete, .deleteRecords: preconditionFailure("only done, never checked")
        }
    }

    private func answer(_ origin: ProduceOrigin, _ result: TopicChange.Result) {
        effects.changed[origin.door].append((origin, result))
    }

    private typealias Begun = (
        work: @Sendable () -> DirectoryOutcome, finish: (DirectoryOutcome) -> TopicChange.Result
    )

    private func begin(_ change: TopicChange) throws(BrokerError) -> Begun {
        switch change {
        case .create(let creation):
            let (work, finish) = begin([creation])
            return (work, { finish($0)[0].map { .failure($0) } ?? .success(nil) })
        case .delete(let name): return try beginDeletion(name)
        case .alter(let topic, let changes): return try beginAlteration(topic, changes)
        case .deleteRecords(let address, let before): return try beginDeletion(of: address, before: before)
        }
    }

    private func inDirectory<Value>(_ body: () throws(LogError) -> Value) throws(BrokerError) -> Value {
        do throws(LogError) { return try body() } catch { throw BrokerError(error) }
    }

    // MARK: Creating

    private func beginCreations() -> (work: @Sendable () -> DirectoryOutcome, finish: (DirectoryOutcome) -> Void) {
        var wanted: [TopicCreation] = []
        var origins: [ProduceOrigin] = []
        var partitions = 0
        for (change, origin) in changes.waiting {
            guard case .create(let creation) = change,
                partitions == 0
                    || partitions + creation.partitions <= Self.createdAtOnceMax
            else { break }
            partitions += creation.partitions
            wanted.append(creation)
            origins.append(origin)
        }
        changes.removeFirst(wanted.count)
        let (work, finish) = begin(wanted)
        return (
            work,
            { [self] outcome in
                for (origin, error) in zip(origins, finish(outcome)) {
                    answer(origin, error.map { .failure($0) } ?? .success(nil))
                }
            }
        )
    }

    /// - Parameter own: For the broker itself: its own topics, too.
    private func begin(
        _ wanted: [TopicCreation], own: Bool = false
    ) -> (work: @Sendable () -> DirectoryOutcome, finish: (DirectoryOutcome) -> [BrokerError?]) {
        let (admitted, errors) = admit(wanted, own: own)
        let change = directory.beginCreation(admitted.map { wanted[$0] })
        return (
            change.work,
            { [self] outcome in
                var errors = errors
                for (index, error) in zip(admitted, change.finish(outcome)) {
                    if let error { errors[index] = BrokerError(error) } else { adopt(wanted[index].name) }
                }
                return errors
            }
        )
    }

    /// Makes a topic of the broker's own, on the calling thread.
    func createOwn(_ creation: TopicCreation) throws(BrokerError) {
        let (work, finish) = begin([creation], own: true)
        if let error = finish(work())[0] { throw error }
    }

    /// What the limits allow, and why the others are refused. They are for clients' topics: whoever uses them up takes
    /// groups and transactions from nobody.
    private func admit(_ wanted: [TopicCreation], own: Bool) -> (admitted: [Int], errors: [BrokerError?]) {
        var errors = [BrokerError?](repeating: nil, count: wanted.count)
        var admitted: [Int] = []
        var (topicCount, partitionCount) = (topicCount, partitionCount)
        for (index, creation) in wanted.enumerated() {
            let isNew = creation.configs != nil
            let more = creation.partitions - (isNew ? 0 : topics[creation.name]?.count ?? 0)
            if !own, Self.isInternal(creation.name) {
                errors[index] = .ownTopic(creation.name)
            } else if !own, isNew, topicCount >= limits.topicsMax {
                errors[index] = BrokerError(
                    .limitReached,
                    "the broker holds \(topicCount) topics, the limit is \(limits.topicsMax) (--topics-max)")
            } else if !own, more > limits.partitionsMax - partitionCount {
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
        return (admitted, errors)
    }

    // MARK: Deleting and altering

    /// Whoever waits for the topic's partitions is told at once; the answer comes when the disk has forgotten it.
    private func beginDeletion(_ name: String) throws(BrokerError) -> Begun {
        try Self.refuseInternal(name)
        let id = directory.id(topic: name)
        let change = try inDirectory { () throws(LogError) in try directory.beginDeletion(topic: name) }
        if let id { namesByUUID[id] = nil }
        topicsVersion += 1
        // It goes although the disk may refuse: its logs are closed.
        for partition in topics.removeValue(forKey: name) ?? [] { forget(partition) }
        groups.topicDeleted(name)
        effects.hasDeletedFiles = true
        effects.isReadable = true
        return (change.work, { change.finish($0).map { .failure(BrokerError($0)) } ?? .success(nil) })
    }

    private func beginAlteration(_ topic: String, _ changes: [ConfigChange]) throws(BrokerError) -> Begun {
        try Self.refuseInternal(topic)
        let change = try inDirectory { () throws(LogError) in
            try directory.beginAlteration(topic: topic, changes.map { ($0.name, $0.value) })
        }
        return (
            change.work,
            { [self] outcome in
                if let error = change.finish(outcome) { return .failure(BrokerError(error)) }
                for partition in topics[topic] ?? [] { policyMayHaveChanged(partition) }
                return .success(nil)
            }
        )
    }

    private func beginDeletion(of address: PartitionAddress, before: Int64) throws(BrokerError) -> Begun {
        guard let partition = partition(address) else { throw BrokerError.unknown(address) }
        let end = before == -1 ? partition.highWatermark : Offset(max(before, 0))
        try Self.refuseInternal(partition.topic)
        guard partition.log.options.cleanupPolicy.contains(.delete) else {
            throw BrokerError(
                .policyViolation,
                "records of \(partition.name) cannot be deleted: cleanup.policy is compact, delete is not in it")
        }
        guard before >= -1, end <= partition.highWatermark else {
            throw BrokerError(
                .offsetOutOfRange,
                "records before \(before) cannot be deleted: consumers see \(partition.name) up to "
                    + "\(partition.highWatermark)")
        }
        let change = try inDirectory { () throws(LogError) in
            try directory.beginDeletion(topic: partition.topic, partition: Int(address.partition), before: end)
        }
        return (
            change.work,
            { [self] outcome in
                let outcome = change.finish(outcome)
                // What waits for a sync may have been covered by the one that was made for this.
                if !partition.isDeleted { didSync(partition) }
                switch outcome {
                case .failure(let error): return .failure(BrokerError(error))
                case .success(let (start, removed)):
                    compactor?.release(removed)
                    effects.hasDeletedFiles = true
                    // Who reads below is told, and nobody else is looked at.
                    effects.readable.append(partition)
                    return .success(start.rawValue)
                }
            }
        )
    }
}

extension TopicCreation {
    package init(_ name: String, partitions: Int, configs: [TopicConfig]) {
        self.init(
            name: name, partitions: partitions, configs: Dictionary(configs.map { ($0.name, $0.value) }) { $1 })
    }
}
