internal import RecordFormat

// What `open` does.
extension LogDirectory {
    /// Finds out what there is, and recovers every partition.
    func recover(_ progress: RecoveryProgress) throws(LogError) {
        // A process that was killed may have left a catalog or renames that are not on the disk. They must be before
        // anything is removed on the strength of them.
        try synchronizeVolumes()
        let found = try listVolumes()
        let catalog = try readCatalog(found)
        let bounds = try Self.readOffsets(.recoveryPoints, in: path, files)
        let starts = try Self.readOffsets(.logStarts, in: path, files)
        if starts.isEmpty { storedLogStarts = [:] }
        let clean = readCleanClose()
        for line in try CheckpointFile.topicConfigs.read(in: path, files) ?? [] {
            let (topic, name, value) = (String(line[0]), String(line[1]), String(line[2]))
            let raised = LogOptions.raised(name, value)
            configs[topic, default: [:]][name] = raised ?? value
            if let raised { recoveryReport.raisedConfigs.append((topic, name, value, raised)) }
        }
        let surviving = try finishDeletes(catalog, found)
        var recoveries: [LogRecovery] = []
        var places: [LogVolume] = []
        for (topic, count) in surviving {
            let options = try options.applying(configs[topic] ?? [:])
            for index in 0..<count {
                let name = TopicName.directory(topic, index)
                let volume = try place(of: name, topic)
                places.append(volume)
                recoveries.append(
                    try LogRecovery(
                        directory: volume.path + "/" + name, options: options, bound: bounds[name] ?? .zero,
                        logStartOffset: starts[name] ?? .zero, leaderEpochMax: .zero, cleanClose: clean[name], files))
            }
        }
        let isUnclean = recoveries.contains { !$0.isClean }
        let recovered = try RecoveryCrew.run(recoveries, threads: options.recoveryThreads, progress)
        var next = 0
        for (topic, count) in surviving {
            let logs = (next..<(next + count)).map { PartitionLog(recovered[$0], volume: places[$0]) }
            next += count
            self.logs[topic] = logs
            ids[topic] = catalog[topic]!.id
            recoveryReport.add(topic, logs)
        }
        recoveryReport.topicCount = logs.count
        recoveryReport.orphans = found.filter { name in
            TopicName.parse(directory: name).map { ($0.partition < catalog[$0.topic]?.partitions ?? 0) == false }
                ?? false
        }
        try recoverProducerIDs()
        try recoverClusterID()
        // From here on partitions are written to: what was said of their ends is no longer true.
        try files.remove(path + "/" + CheckpointFile.cleanClose.name)
        if !isUnclean && bounds.count == recovered.count {
            // The stored points still hold.
            if !clean.isEmpty { try files.synchronizeDirectory(path) }
        } else {
            // Every log was synced while it was recovered. This also forgets the bounds of topics that are gone.
            try writeRecoveryPoints()
        }
        if !starts.isEmpty { try writeLogStartOffsets() }
    }

    private func place(of name: String, _ topic: String) throws(LogError) -> LogVolume {
        guard let volume = places[name] else {
            throw LogError(
                .invalidCatalog, operation: "opening", path: path + "/" + name,
                advice: "\(name) is missing in \(volumes.map(\.path).joined(separator: ", ")), but the catalog "
                    + "\(path)/topics has topic \(topic): name its directory, restore it from a copy, or create it "
                    + "empty to accept the loss")
        }
        return volume
    }

    /// How the last stop left the partitions; nothing after a crash. Not needed: what does not parse is passed over.
    private func readCleanClose() -> [String: LogRecovery.CleanClose] {
        var clean: [String: LogRecovery.CleanClose] = [:]
        for line in (try? CheckpointFile.cleanClose.read(in: path, files)) ?? [] {
            guard let index = Int(line[1]), let end = Int64(line[2]), let bytes = Int64(line[3]), end >= 0 else {
                continue
            }
            clean[TopicName.directory(String(line[0]), index)] = .init(
                logEndOffset: Offset(end), lastSegmentBytes: bytes)
        }
        return clean
    }

    /// The names in all volumes; notes where the partitions are.
    private func listVolumes() throws(LogError) -> [String] {
        var all: [String] = []
        for volume in volumes {
            let names = try files.names(in: volume.path)
            for name in names where TopicName.parse(directory: name) != nil {
                if let other = place(name, in: volume) {
                    throw LogError(
                        .invalidCatalog, operation: "opening", path: volume.path + "/" + name,
                        advice: "\(name) is in \(other.path) and in \(volume.path): move one of them away")
                }
            }
            all += names
        }
        return all
    }

    /// The topics. Those of an earlier version are given ids.
    private func readCatalog(_ found: [String]) throws(LogError) -> [String: CatalogEntry] {
        guard let lines = try CheckpointFile.topics.read(in: path, files) else {
            if let orphan = found.first(where: { TopicName.parse(directory: $0) != nil }) {
                throw LogError(
                    .invalidCatalog, operation: "opening", path: path,
                    advice: "\(path) holds partition directories (\(orphan)) but no catalog: restore \(path)/topics "
                        + "from a copy, or choose another data directory")
            }
            try CheckpointFile.topics.write([], in: path, files)
            return [:]
        }
        var catalog: [String: CatalogEntry] = [:]
        for line in lines {
            let topic = String(line[0])
            let id = line.count > 2 ? TopicUUID(line[2]) : TopicUUID(random: files.storage.random)
            guard TopicName.fault(in: topic) == nil, let count = Int(line[1]),
                (1...TopicName.partitionsMax).contains(count), catalog[topic] == nil, let id
            else {
                throw CheckpointFile.topics.fault(path + "/topics", "line '\(line.joined(separator: " "))'")
            }
            catalog[topic] = CatalogEntry(partitions: count, id: id)
        }
        if lines.contains(where: { $0.count == 2 }) {
            try CheckpointFile.topics.write(CatalogEntry.lines(catalog), in: path, files)
        }
        return catalog
    }

    /// A checkpoint with an offset for each partition, by the partition's directory.
    static func readOffsets(
        _ file: CheckpointFile, in path: String, _ files: FileSystem
    ) throws(LogError) -> [String: Offset] {
        var bounds: [String: Offset] = [:]
        for line in try file.read(in: path, files) ?? [] {
            guard let index = Int(line[1]), let offset = Int64(line[2]), offset >= 0 else {
                throw file.fault(path + "/" + file.name, "line '\(line.joined(separator: " "))'")
            }
            bounds[TopicName.directory(String(line[0]), index)] = Offset(offset)
        }
        return bounds
    }

    private func recoverClusterID() throws(LogError) {
        let file = CheckpointFile.clusterID
        if let lines = try file.read(in: path, files) {
            guard lines.count == 1, !lines[0][0].isEmpty else {
                throw file.fault(path + "/" + file.name, "one id is expected")
            }
            clusterID = String(lines[0][0])
        } else {
            clusterID = TopicUUID(random: files.storage.random).description
            try file.write([clusterID], in: path, files)
        }
    }

    private func recoverProducerIDs() throws(LogError) {
        let file = CheckpointFile.producerIDs
        var next: Int64 = 0
        if let lines = try file.read(in: path, files) {
            guard lines.count == 1, let stored = Int64(lines[0][0]), stored >= 0 else {
                throw file.fault(path + "/" + file.name, "one number is expected")
            }
            next = stored
        } else {
            // Should the file be lost, the logs still know the ids in use. Once: it takes their producers into memory.
            for log in logs.values.joined() { next = max(next, try log.producerIDMax + 1) }
            try file.write(["\(next)"], in: path, files)
        }
        producerIDs = next..<next
    }
}
