internal import RecordFormat

extension LogDirectory {
    /// Creates a topic with empty partitions, durably.
    ///
    /// Directories first, catalog last: the catalog's rename is the moment the topic exists. A stop before it leaves
    /// directories without data that nobody claims; the next create of that name takes them over.
    /// - Parameters:
    ///   - partitions: 1...1024.
    ///   - configs: The topic's own settings; the data directory's options hold for the rest.
    /// - Throws: `invalidTopicName`, `invalidPartitionCount`, `invalidConfig`, `topicExists`; system errors, after
    ///   which the call may be repeated (if the very last sync failed, a restart may find the topic created).
    package func createTopic(name: String, partitions: Int, configs: [String: String] = [:]) throws(LogError) {
        if let fault = TopicName.fault(in: name) {
            throw LogError(
                .invalidTopicName, operation: "creating topic", path: name,
                advice: "topic name '\(name)' is not allowed: \(fault)")
        }
        guard (1...TopicName.partitionsMax).contains(partitions) else {
            throw LogError(
                .invalidPartitionCount, operation: "creating topic", path: name,
                advice: "topic \(name) with \(partitions) partitions refused: 1 to \(TopicName.partitionsMax) "
                    + "are allowed")
        }
        guard logs[name] == nil else {
            throw LogError(
                .topicExists, operation: "creating topic", path: name, advice: "topic \(name) exists already")
        }
        let options = try options.applying(configs)
        if pendingDeletes[name] != nil { try markDeleted(name) }
        // What an earlier delete of that name could not remove would, beside the new catalog, look like a delete that
        // was cut, and take the new topic with it. Its removal must be durable before the catalog is.
        try removeDeletedDirectories(name)
        var created: [PartitionLog] = []
        do throws(LogError) {
            for index in 0..<partitions { created.append(try createPartition(name, index, options)) }
            try synchronizeVolumes()
            // A recovery point or a log start left from an earlier topic of that name would make the new one look cut
            // short.
            try writeRecoveryPoints()
            try writeLogStartOffsets()
            try writeConfigs(name, configs.isEmpty ? nil : configs)
            try writeCatalog(catalog.merging([name: partitions]) { $1 })
        } catch {
            // The failed call may have been the sync after the catalog's rename. The directories may go only once the
            // catalog certainly does not name them; left where they are, they do no harm.
            do throws(LogError) {
                try writeCatalog(catalog)
                for log in created {
                    try files.removeDirectory(log.directory)
                    places[String(log.directory.split(separator: "/").last!)] = nil
                }
            } catch {}
            throw error
        }
        logs[name] = created
    }

    /// Deletes a topic and its data, durably. Cursors and logs of it must not be used afterwards; flush tickets may.
    ///
    /// A stop at any moment leaves a directory that starts, with the whole topic or without it:
    /// 1. Every partition directory is renamed to its `.delete` name. From the first rename on the topic is lost: a
    ///    start that finds one for a topic in the catalog goes on from here (`finishDeletes`). The names are synced
    ///    before
    /// 2. the catalog is replaced by one without the topic. So when the catalog has forgotten it, no directory of it
    ///    can be left under its old name; unlike the other order, which could leave some that nobody may remove.
    /// 3. The renamed directories are removed; a start removes those that are left.
    /// - Throws: `unknownTopic`; system errors: the topic is gone from this process, and the delete goes on with the
    ///   next `deleteTopic` or `createTopic` of that name, or with the next start if a directory was renamed.
    package func deleteTopic(name: String) throws(LogError) {
        guard let count = logs[name]?.count ?? pendingDeletes[name] else {
            throw LogError(.unknownTopic, operation: "deleting topic", path: name, advice: "there is no topic \(name)")
        }
        for log in logs[name] ?? [] { log.abandon() }
        logs[name] = nil
        pendingDeletes[name] = count
        try markDeleted(name)
        try removeDeletedDirectories(name)
        try writeRecoveryPoints()
        try writeLogStartOffsets()
    }

    /// Goes on with deletes that a stop has cut, and removes what is left of those that were past the catalog.
    /// - Returns: the topics that remain, sorted.
    func finishDeletes(_ catalog: [String: Int], _ found: [String]) throws(LogError) -> [(String, Int)] {
        let marked = Set(found.filter(TopicName.isDeleted(directory:)))
        let cut = catalog.filter { topic, count in
            (0..<count).contains { marked.contains(TopicName.deletedDirectory(topic, $0)) }
        }
        let remaining = catalog.filter { cut[$0.key] == nil }
        for (topic, count) in cut.sorted(by: { $0.key < $1.key }) { try renameDirectories(topic, count) }
        if !cut.isEmpty {
            try synchronizeVolumes()
            try writeCatalog(remaining)
        }
        for volume in volumes {
            for name in try files.names(in: volume.path) where TopicName.isDeleted(directory: name) {
                recoveryReport.removedDirectories.append(name)
                try files.removeDirectory(volume.path + "/" + name)
            }
        }
        return remaining.sorted { $0.key < $1.key }
    }

    /// Steps 1 and 2 of a delete; step 1 may have been done in part.
    private func markDeleted(_ topic: String) throws(LogError) {
        try renameDirectories(topic, pendingDeletes[topic]!)
        try synchronizeVolumes()
        try writeCatalog(catalog.filter { $0.key != topic })
        pendingDeletes[topic] = nil
    }

    private func renameDirectories(_ topic: String, _ count: Int) throws(LogError) {
        for index in 0..<count {
            let name = TopicName.directory(topic, index)
            guard let volume = places[name] else { continue }
            try files.rename(
                volume.path + "/" + name, to: volume.path + "/" + TopicName.deletedDirectory(topic, index))
            places[name] = nil
        }
    }

    /// Step 3 of a delete.
    private func removeDeletedDirectories(_ topic: String) throws(LogError) {
        let ours = Set((0..<TopicName.partitionsMax).map { TopicName.deletedDirectory(topic, $0) })
        for volume in volumes {
            for name in try files.names(in: volume.path) where ours.contains(name) {
                try files.removeDirectory(volume.path + "/" + name)
            }
        }
    }

    func synchronizeVolumes() throws(LogError) {
        for volume in volumes { try files.synchronizeDirectory(volume.path) }
    }

    /// What the catalog must say now.
    private var catalog: [String: Int] {
        logs.mapValues(\.count).merging(pendingDeletes) { $1 }
    }

    private func writeCatalog(_ catalog: [String: Int]) throws(LogError) {
        let lines = catalog.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        try CheckpointFile.topics.write(lines, in: path, files)
    }

    /// The volume with the fewest partitions.
    private var emptiestVolume: LogVolume {
        guard volumes.count > 1 else { return volumes[0] }
        let counts = Dictionary(places.values.map { (ObjectIdentifier($0), 1) }, uniquingKeysWith: +)
        return volumes.min { counts[ObjectIdentifier($0), default: 0] < counts[ObjectIdentifier($1), default: 0] }!
    }

    /// A new partition's log, in a new directory or one without data.
    private func createPartition(_ topic: String, _ index: Int, _ options: LogOptions) throws(LogError) -> PartitionLog
    {
        let name = TopicName.directory(topic, index)
        let volume = places[name] ?? emptiestVolume
        let directory = volume.path + "/" + name
        if try !files.createDirectory(directory) {
            for name in try files.names(in: directory) {
                guard try files.open(directory + "/" + name, 0).size() == 0 else {
                    throw LogError(
                        .topicExists, operation: "creating", path: directory,
                        advice: "\(directory) holds data (\(name)) that no topic of the catalog claims: "
                            + "move it away first")
                }
            }
            try files.removeDirectory(directory)
            _ = try files.createDirectory(directory)
        }
        places[name] = volume
        return try PartitionLog.open(directory: directory, options: options, durableBound: nil, volume: volume)
    }
}
