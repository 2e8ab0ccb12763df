internal import Glibc

extension LogDirectory {
    /// Creates a topic with empty partitions, durably.
    /// - Throws: as `create`.
    package func createTopic(name: String, partitions: Int, configs: [String: String] = [:]) throws(LogError) {
        if let error = create([TopicCreation(name: name, partitions: partitions, configs: configs)])[0] { throw error }
    }

    /// Gives a topic more partitions, empty ones, durably.
    /// - Parameter total: How many there shall be: more than there are.
    /// - Throws: as `create`.
    package func addPartitions(topic: String, total: Int) throws(LogError) {
        if let error = create([TopicCreation(name: topic, partitions: total, configs: nil)])[0] { throw error }
    }

    /// Creates many topics and partitions, durably, for little more than the price of one.
    ///
    /// Directories first, catalog last: the catalog's rename is the moment they exist. A stop before it leaves
    /// directories without data that nobody claims; the next create of that name takes them over.
    /// - Returns: What waits for the disk. It answers for each, in order, nil or why it was not made:
    ///   `invalidTopicName`, `invalidPartitionCount`, `invalidConfig`, `topicExists`, `unknownTopic`; system errors,
    ///   after which it may be tried again (if the very last sync failed, a restart may find all of it created).
    package func beginCreation(_ creations: [TopicCreation]) -> DirectoryChange<[LogError?]> {
        var errors = [LogError?](repeating: nil, count: creations.count)
        do throws(LogError) { try finishDeletes(of: creations.map(\.name)) } catch {
            let all = [LogError?](repeating: error, count: creations.count)
            return begin(DirectorySteps()) { _ in all }
        }
        var made: [(index: Int, logs: [PartitionLog])] = []
        var names: Set<String> = []
        for (index, creation) in creations.enumerated() {
            do throws(LogError) {
                guard names.insert(creation.name).inserted else { throw Self.twice(creation.name) }
                made.append((index, try makePartitions(creation)))
            } catch {
                errors[index] = error
            }
        }
        var steps = DirectorySteps()
        if !made.isEmpty { addPublication(made.map { (creations[$0.index], $0.logs) }, to: &steps) }
        return begin(steps) { [self, errors] error in
            guard let error else { return errors }
            // The failed call may have been the sync after the catalog's rename. The directories may go only once the
            // catalog certainly does not name them; left where they are, they do no harm.
            var steps = DirectorySteps()
            addCatalog(catalog, to: &steps)
            let isForgotten = (try? steps.perform()) != nil
            var errors = errors
            for (index, logs) in made {
                errors[index] = error
                if isForgotten { removePartitions(logs) }
            }
            return errors
        }
    }

    /// The same, on the calling thread.
    package func create(_ creations: [TopicCreation]) -> [LogError?] { beginCreation(creations).perform() }

    /// Makes everything durable that was made, and has the catalog say so.
    private func addPublication(
        _ made: [(creation: TopicCreation, logs: [PartitionLog])], to steps: inout DirectorySteps
    ) {
        // What an earlier delete of these names could not remove would, beside the new catalog, look like a delete
        // that was cut, and take the new topics with it. Its removal is durable before the catalog is.
        addRemoval(of: Set(made.map(\.creation.name)), to: &steps)
        addSync(of: made.flatMap(\.logs), to: &steps)
        // A recovery point or a log start left from an earlier topic of that name would make the new one look cut
        // short.
        if mayStoreForeignPoints { addRecoveryPoints(to: &steps) }
        addLogStarts(to: &steps)
        var own: [String: [String: String]?] = [:]
        for (creation, _) in made {
            if let configs = creation.configs {
                own.updateValue(configs.isEmpty ? nil : configs, forKey: creation.name)
            }
        }
        addConfigs(own, to: &steps)
        var all = catalog
        for (creation, _) in made {
            let id = all[creation.name]?.id ?? TopicUUID(random: files.storage.random)
            all[creation.name] = CatalogEntry(partitions: creation.partitions, id: id)
        }
        addCatalog(all, to: &steps) { [self, all] in
            for (creation, logs) in made {
                self.logs[creation.name, default: []] += logs
                ids[creation.name] = all[creation.name]!.id
            }
        }
    }

    /// Deletes of these names that failed come to their end first: their directories are in the way.
    private func finishDeletes(of names: [String]) throws(LogError) {
        for name in Set(names).sorted() where pendingDeletes[name] != nil {
            var steps = DirectorySteps()
            addMarks(of: name, to: &steps)
            addRemoval(of: [name], to: &steps)
            try steps.perform()
        }
    }

    /// Whether something can be created, without doing it.
    /// - Throws: as `beginCreation` answers, but for system errors.
    package func check(_ creation: TopicCreation) throws(LogError) { _ = try options(of: creation) }

    /// What the new partitions are limited by.
    private func options(of creation: TopicCreation) throws(LogError) -> LogOptions {
        let name = creation.name
        if let fault = TopicName.fault(in: name) {
            throw LogError(
                .invalidTopicName, operation: "creating topic", path: name,
                advice: "topic name '\(name)' is not allowed: \(fault)")
        }
        guard (1...TopicName.partitionsMax).contains(creation.partitions) else {
            throw LogError(
                .invalidPartitionCount, operation: "creating topic", path: name,
                advice: "topic \(name) with \(creation.partitions) partitions refused: 1 to "
                    + "\(TopicName.partitionsMax) are allowed")
        }
        guard let configs = creation.configs else { return try optionsForMore(creation) }
        guard logs[name] == nil else {
            throw LogError(
                .topicExists, operation: "creating topic", path: name, advice: "topic \(name) exists already")
        }
        return try options.applying(configs)
    }

    /// The new partitions' logs, not durable yet.
    private func makePartitions(_ creation: TopicCreation) throws(LogError) -> [PartitionLog] {
        let name = creation.name
        let options = try options(of: creation)
        var made: [PartitionLog] = []
        do throws(LogError) {
            for index in (logs[name]?.count ?? 0)..<creation.partitions {
                made.append(try createPartition(name, index, options))
            }
        } catch {
            removePartitions(made)
            throw error
        }
        return made
    }

    private func optionsForMore(_ creation: TopicCreation) throws(LogError) -> LogOptions {
        let name = creation.name
        guard let present = logs[name] else {
            throw LogError(
                .unknownTopic, operation: "adding partitions", path: name, advice: "there is no topic named \(name)")
        }
        guard creation.partitions > present.count else {
            throw LogError(
                .invalidPartitionCount, operation: "adding partitions", path: name,
                advice:
                    "topic \(name) has \(present.count) partitions; it can be given more, not \(creation.partitions)"
            )
        }
        return try options.applying(Dictionary(configs(topic: name)) { $1 })
    }

    /// Takes back what was not published. What cannot be removed does no harm.
    private func removePartitions(_ logs: [PartitionLog]) {
        for log in logs where (try? files.removeDirectory(log.directory)) != nil {
            place(String(log.directory.split(separator: "/").last!), in: nil)
        }
    }

    /// Makes new directories and what is in them durable: one sync of the file system where it can do that, else one
    /// of each directory.
    private func addSync(of made: [PartitionLog], to steps: inout DirectorySteps) {
        let places = volumes.map { volume in
            (path: volume.path, directories: made.filter { $0.volume === volume }.map(\.directory))
        }
        steps.add { [files] () throws(LogError) in
            for (path, directories) in places {
                if directories.count > Self.singleSyncsMax {
                    // Through a descriptor of its own: an error that the flusher must hear of is reported once for
                    // each.
                    let directory = try files.open(path, O_RDONLY | O_DIRECTORY)
                    let status = files.storage.synchronizeFileSystem(of: directory.descriptor)
                    if status == 0 { continue }
                    guard status == -EOPNOTSUPP else {
                        throw LogError(errno: -status, "syncing the file system of", path)
                    }
                }
                for directory in directories { try files.synchronizeDirectory(directory) }
                try files.synchronizeDirectory(path)
            }
        }
    }

    /// A new partition's log, in a new directory or one without data.
    private func createPartition(_ topic: String, _ index: Int, _ options: LogOptions) throws(LogError) -> PartitionLog
    {
        let name = TopicName.directory(topic, index)
        let volume = places[name] ?? volumes.min { $0.directoryCount < $1.directoryCount }!
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
        place(name, in: volume)
        return try PartitionLog.begin(directory: directory, options: options, volume: volume)
    }

    private static func twice(_ name: String) -> LogError {
        LogError(
            .topicExists, operation: "creating topic", path: name, advice: "topic \(name) is being created already")
    }

    /// With more new directories than this, one sync of the file system is quicker.
    private static var singleSyncsMax: Int { 4 }
}
