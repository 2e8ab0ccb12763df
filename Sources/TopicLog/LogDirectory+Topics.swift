extension LogDirectory {
    /// Deletes a topic and its data, durably. Cursors and logs of it must not be used afterwards; flush tickets may.
    ///
    /// A stop at any moment leaves a directory that starts, with the whole topic or without it:
    /// 1. Every partition directory is renamed to its `.delete` name. From the first rename on the topic is lost: a
    ///    start that finds one for a topic in the catalog goes on from here (`finishDeletes`). The names are synced
    ///    before
    /// 2. the catalog is replaced by one without the topic. So when the catalog has forgotten it, no directory of it
    ///    can be left under its old name; unlike the other order, which could leave some that nobody may remove.
    /// 3. The renamed directories are removed; a start removes those that are left.
    /// - Returns: What waits for the disk. Its answer is a system error: the topic is gone from this process all the
    ///   same, and the delete goes on with the next one or the next create of that name, or with the next start if a
    ///   directory was renamed.
    /// - Throws: `unknownTopic`.
    package func beginDeletion(topic name: String) throws(LogError) -> DirectoryChange<LogError?> {
        guard let entry = catalog[name] else {
            throw LogError(.unknownTopic, operation: "deleting topic", path: name, advice: "there is no topic \(name)")
        }
        for log in logs[name] ?? [] { log.abandon() }
        logs[name] = nil
        ids[name] = nil
        pendingDeletes[name] = entry
        mayStoreForeignPoints = true
        var steps = DirectorySteps()
        addMarks(of: name, to: &steps)
        addRemoval(of: [name], to: &steps)
        addRecoveryPoints(to: &steps)
        addLogStarts(to: &steps)
        return begin(steps) { $0 }
    }

    /// The same, on the calling thread.
    package func deleteTopic(name: String) throws(LogError) {
        if let error = try beginDeletion(topic: name).perform() { throw error }
    }

    /// Goes on with deletes that a stop has cut, and removes what is left of those that were past the catalog.
    /// - Returns: the topics that remain, sorted.
    func finishDeletes(_ catalog: [String: CatalogEntry], _ found: [String]) throws(LogError) -> [(String, Int)] {
        let marked = Set(found.filter(TopicName.isDeleted(directory:)))
        let cut = catalog.filter { topic, entry in
            (0..<entry.partitions).contains { marked.contains(TopicName.deletedDirectory(topic, $0)) }
        }
        let remaining = catalog.filter { cut[$0.key] == nil }
        if !cut.isEmpty {
            var steps = DirectorySteps()
            for (topic, entry) in cut.sorted(by: { $0.key < $1.key }) {
                addRenames(of: topic, entry.partitions, to: &steps)
            }
            addVolumeSync(to: &steps)
            addCatalog(remaining, to: &steps)
            try steps.perform()
        }
        for volume in volumes {
            for name in try files.names(in: volume.path) where TopicName.isDeleted(directory: name) {
                recoveryReport.removedDirectories.append(name)
                try files.removeDirectory(volume.path + "/" + name)
            }
        }
        return remaining.sorted { $0.key < $1.key }.map { ($0.key, $0.value.partitions) }
    }

    /// Steps 1 and 2 of a delete; step 1 may have been done in part.
    func addMarks(of topic: String, to steps: inout DirectorySteps) {
        addRenames(of: topic, pendingDeletes[topic]!.partitions, to: &steps)
        addVolumeSync(to: &steps)
        addCatalog(catalog.filter { $0.key != topic }, to: &steps) { [self] in pendingDeletes[topic] = nil }
    }

    private func addRenames(of topic: String, _ count: Int, to steps: inout DirectorySteps) {
        for index in 0..<count {
            let name = TopicName.directory(topic, index)
            guard let path = places[name]?.path else { continue }
            steps.add { [files] () throws(LogError) in
                try files.rename(path + "/" + name, to: path + "/" + TopicName.deletedDirectory(topic, index))
            } done: { [self] in
                place(name, in: nil)
            }
        }
    }

    /// Step 3 of a delete.
    func addRemoval(of topics: Set<String>, to steps: inout DirectorySteps) {
        steps.add { [files, paths = volumes.map(\.path)] () throws(LogError) in
            var ours: Set<String>?
            for path in paths {
                var left: [String] = []
                try files.forEachName(in: path) { if TopicName.isDeleted(directory: $0) { left.append($0) } }
                guard !left.isEmpty else { continue }
                let names =
                    ours
                    ?? Set(
                        topics.flatMap { topic in
                            (0..<TopicName.partitionsMax).map { TopicName.deletedDirectory(topic, $0) }
                        })
                ours = names
                for name in left.sorted() where names.contains(name) { try files.removeDirectory(path + "/" + name) }
            }
        }
    }

    func synchronizeVolumes() throws(LogError) {
        for volume in volumes { try files.synchronizeDirectory(volume.path) }
    }

    /// What the catalog must say now.
    var catalog: [String: CatalogEntry] {
        let present = logs.map { ($0.key, CatalogEntry(partitions: $0.value.count, id: ids[$0.key]!)) }
        return Dictionary(uniqueKeysWithValues: present).merging(pendingDeletes) { $1 }
    }
}

/// What the catalog says of a topic.
struct CatalogEntry: Equatable {
    var partitions: Int
    var id: TopicUUID

    static func lines(_ catalog: [String: CatalogEntry]) -> [String] {
        catalog.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value.partitions) \($0.value.id)" }
    }
}
