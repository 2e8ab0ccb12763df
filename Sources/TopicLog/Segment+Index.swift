internal import Glibc
internal import RecordFormat

extension Segment {
    /// What is wrong with a segment, and where.
    struct Damage {
        /// Where the first batch that cannot be read begins.
        let position: Int64
        /// The first offset that cannot be read.
        let offset: Offset
        let reason: String
    }

    /// Goes over the batches from one on, as long as `body` says so, to the segment's end or the first that is not
    /// sound.
    /// - Parameter bound: Where the batches begin whose checksums are looked at, too.
    func walk(
        from position: Int64 = 0, at offset: Offset? = nil, checking bound: Offset = Offset(.max),
        _ body: (RecordBatchHeader, _ position: Int64) throws(LogError) -> Bool
    ) throws(LogError) -> Damage? {
        var scanner = SegmentScanner(
            file: try open(), fileBytes: sizeInBytes,
            bufferBytes: bound.rawValue == .max ? SegmentScanner.hopBytes : SegmentScanner.scanBytes)
        defer { scanner.deallocate() }
        var position = position
        var next = offset ?? baseOffset
        var epoch = LeaderEpoch.zero
        while position < sizeInBytes {
            let batch = try scanner.batch(
                at: position, expecting: next, compactedEnd: hasGaps ? endOffset : nil,
                epochs: epoch...LeaderEpoch(.max), durableBound: bound)
            switch batch {
            case .failure(let damage):
                return Damage(position: position, offset: next, reason: damage.reason)
            case .success(let header):
                guard try body(header, position) else { return nil }
                position += Int64(header.sizeInBytes)
                next = header.lastOffset.advanced(by: 1)
                epoch = header.partitionLeaderEpoch
            }
        }
        guard next == endOffset else {
            return Damage(position: position, offset: next, reason: "it ends here, not at \(endOffset)")
        }
        return nil
    }

    // MARK: - Indexes

    /// The offset index.
    func offsetIndex() throws(LogError) -> Index<OffsetEntry> {
        try checkIndexes()
        if let indexes { return .memory(indexes.offsets) }
        return try IndexFile(path: sibling(".index"), files).map { .file($0) } ?? .memory([])
    }

    /// The time index. In memory it lacks the last entry: see `maxTimestamp`.
    func timeIndex() throws(LogError) -> Index<TimeEntry> {
        try checkIndexes()
        if let indexes { return .memory(indexes.times) }
        return try IndexFile(path: sibling(".timeindex"), files).map { .file($0) } ?? .memory([])
    }

    /// The largest timestamp; nil when no record has one. Read once, then remembered.
    func maxTimestamp() throws(LogError) -> Int64? {
        if let indexes { return indexes.latest?.timestamp }
        if let latestTimestamp { return latestTimestamp }
        // The last entry is enough: of many segments not all the indexes are read.
        if !hasCheckedIndexes, sizeInBytes > 0, try !isTailSound() { try checkIndexes() }
        if let latestTimestamp { return latestTimestamp }
        let index = try IndexFile<TimeEntry>(path: sibling(".timeindex"), files)
        let latest = try index.map { (index) throws(LogError) in try index.last?.timestamp } ?? nil
        latestTimestamp = .some(latest)
        return latest
    }

    /// The timestamp of the first batch; nil when there is none.
    func firstTimestamp() throws(LogError) -> Int64? {
        sizeInBytes == 0 ? nil : try header(at: 0).maxTimestamp
    }

    /// Takes the indexes into memory, for appends.
    func loadIndexes() throws(LogError) {
        guard indexes == nil else { return }
        try checkIndexes()
        guard indexes == nil else { return }
        guard let offsets = try IndexFile<OffsetEntry>(path: sibling(".index"), files)?.allInOrder(),
            let times = try IndexFile<TimeEntry>(path: sibling(".timeindex"), files)?.allInOrder()
        else {
            try buildIndexes()
            return
        }
        indexes = SegmentIndexes(
            offsets: offsets, times: times, sizeInBytes: sizeInBytes, intervalBytes: intervalBytes)
    }

    /// Looks the files over, once, before they are used; builds them anew when they cannot be right.
    private func checkIndexes() throws(LogError) {
        guard indexes == nil, !hasCheckedIndexes else { return }
        hasCheckedIndexes = true
        guard sizeInBytes > 0 else { return }
        if try !areFilesSound() {
            try buildIndexes()
            releaseIndexes()
        }
    }

    /// Whether both files are there, in order, inside the segment, and reach its end. An older state of them, which a
    /// power cut may leave, does not.
    private func areFilesSound() throws(LogError) -> Bool {
        guard try IndexFile<OffsetEntry>(path: sibling(".index"), files)?.allInOrder() != nil,
            try IndexFile<TimeEntry>(path: sibling(".timeindex"), files)?.allInOrder() != nil
        else { return false }
        return try isTailSound()
    }

    /// Whether both files are there, and their last entries lead to the segment's end.
    private func isTailSound() throws(LogError) -> Bool {
        guard let offsets = try IndexFile<OffsetEntry>(path: sibling(".index"), files),
            let times = try IndexFile<TimeEntry>(path: sibling(".timeindex"), files)
        else { return false }
        let (lastOffset, lastTime) = (try offsets.last, try times.last)
        let span = baseOffset.distance(to: endOffset)
        let tail = Int64(lastOffset?.position ?? 0)
        guard tail < sizeInBytes, Int64(lastOffset?.relativeOffset ?? 0) < span,
            Int64(lastTime?.relativeOffset ?? 0) < span
        else { return false }
        var latest: Int64 = -1
        var reachesEnd = true
        let start = try header(at: tail)
        let damage = try walk(from: tail, at: start.baseOffset) { (header, position) in
            // From an interval on there would be a further entry.
            reachesEnd = position - tail < Int64(intervalBytes)
            latest = max(latest, header.maxTimestamp)
            return reachesEnd
        }
        // Damage is the reader's to report; the indexes can be right all the same.
        return damage != nil || (reachesEnd && latest <= lastTime?.timestamp ?? -1)
    }

    /// What lies where a batch begins, or should: not judged.
    func header(at position: Int64) throws(LogError) -> RecordBatchHeader {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: RecordBatchHeader.byteCount, alignment: 8)
        defer { unsafe memory.deallocate() }
        unsafe memory.initializeMemory(as: UInt8.self, repeating: 0)
        _ = unsafe try open().read(into: memory, at: position)
        return unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(memory))
    }

    /// What a control batch says, of which the header was looked at.
    func marker(_ header: RecordBatchHeader, at position: Int64) throws(LogError) -> EndTransactionMarker? {
        var scanner = SegmentScanner(file: try open(), fileBytes: sizeInBytes, bufferBytes: SegmentScanner.hopBytes)
        defer { scanner.deallocate() }
        return try scanner.marker(at: position, bytes: header.sizeInBytes)
    }

    /// Builds the indexes from the log's headers, up to its end or the first that is not sound.
    /// - Returns: where it is damaged.
    @discardableResult
    func buildIndexes() throws(LogError) -> Damage? {
        hasCheckedIndexes = true
        var built = SegmentIndexes(intervalBytes: intervalBytes)
        let damage = try walk { (header, position) in
            built.add(header, base: baseOffset, position: position)
            return true
        }
        indexes = built
        return damage
    }

    /// Writes `.index` and `.timeindex` beside the log. Not synced: each is looked over before it is used again.
    func saveIndexes() throws(LogError) {
        guard var whole = indexes else { return }
        whole.addLatest()
        try write(SegmentIndexes.encoded(whole.offsets), to: sibling(".index"))
        try write(SegmentIndexes.encoded(whole.times), to: sibling(".timeindex"))
    }

    /// Writes the indexes and lets go of what is in memory. When they cannot be written they stay there.
    func releaseIndexes() {
        guard let indexes, (try? saveIndexes()) != nil else { return }
        hasCheckedIndexes = true
        latestTimestamp = .some(indexes.latest?.timestamp)
        self.indexes = nil
    }

    private func write(_ bytes: [UInt8], to path: String) throws(LogError) {
        try files.open(path, O_WRONLY | O_CREAT | O_TRUNC, operation: "creating").write(bytes, at: 0)
    }

    private func sibling(_ suffix: String) -> String { directory + "/" + Self.name(baseOffset, suffix) }
}
