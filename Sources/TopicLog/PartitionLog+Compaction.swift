internal import Glibc
internal import RecordFormat

extension PartitionLog {
    /// What compaction would do now: bytes of rolled, durable segments, and how many of them no pass has seen.
    package var cleanableBytes: (dirty: Int64, total: Int64) {
        guard options.cleanupPolicy.contains(.compact), refusal == nil else { return (0, 0) }
        var dirty: Int64 = 0
        var total: Int64 = 0
        for segment in cleanableSegments {
            total += segment.sizeInBytes
            if !segment.isClean || dirty > 0 { dirty += segment.sizeInBytes }
        }
        return (dirty, total)
    }

    /// Begins a pass over the rolled segments that are durable. Its results go to ``install(_:)``, in order, and its
    /// end to ``finishCompaction()``.
    /// - Parameter nowMilliseconds: Since 1970: what tombstones are kept by.
    /// - Returns: nil when the policy does not say so, nothing is dirty, or a pass is out already.
    package func beginCompaction(nowMilliseconds: Int64) -> Compaction? {
        // What is not decided is not looked at.
        guard compaction == nil, cleanableBytes.dirty > 0, let stable = try? lastStableOffset(below: durableOffset)
        else { return nil }
        let segments = cleanableSegments.prefix { $0.endOffset <= stable }
        guard let dirty = segments.first(where: { !$0.isClean }) else { return nil }
        var sources: [Compaction.Source] = []
        for segment in segments {
            // One that cannot be opened ends the pass: those behind it wait for the next.
            guard let file = try? segment.open(), let aborted = try? aborted(of: segment) else { break }
            sources.append(
                .init(
                    baseOffset: segment.baseOffset, endOffset: segment.endOffset, generation: segment.generation,
                    sizeInBytes: segment.sizeInBytes, file: file, summary: segment.summary, aborted: aborted))
        }
        guard dirty.endOffset <= sources.last?.endOffset ?? .zero else { return nil }
        // Their markers may be behind the sources.
        guard let end = sources.last?.endOffset,
            let aborted = try? abortedTransactions(from: sources[0].baseOffset, below: end)
        else { return nil }
        // A snapshot from among them may know of a transaction whose marker goes. The pass syncs the directory before
        // anything of it can be put in place, and nobody writes such a snapshot again.
        do throws(LogError) { try removeSnapshots(in: sources[0].baseOffset..<end) } catch { return nil }
        let pass = CompactionPass()
        compaction = pass
        return Compaction(
            pass: pass, directory: directory, options: options, files: files, sources: sources,
            firstDirtyOffset: dirty.summary?.cleanedOffset ?? dirty.baseOffset,
            aborted: AbortedRanges(aborted), producerIDs: producers.ids, nowMilliseconds: nowMilliseconds)
    }

    /// Puts a compacted segment in the place of those it was made of.
    ///
    /// One rename is the moment: before it, everything is as it was, after it the rest of the group's files are
    /// leftovers, which a start removes. A reader goes on in the new file; who holds an old one keeps it.
    /// - Returns: false when it came too late: its segments are gone, or the log is closed. The pass is over then.
    /// - Throws: when the rename could not be made, and nothing has changed; or not made durable, and the log takes no
    ///   appends until it is reopened.
    package func install(_ compacted: CompactedSegment) throws(LogError) -> Bool {
        let base = compacted.segment.baseOffset
        guard let first = segments.firstIndex(where: { $0.baseOffset == base }), canInstall(compacted, at: first) else {
            discard(compacted)
            return false
        }
        do throws(LogError) {
            try files.rename(compacted.temporaryPath, to: compacted.segment.path)
        } catch {
            discard(compacted)
            throw error
        }
        generation += 1
        compacted.segment.generation = generation
        compacted.segment.adopt(volume.openFiles)
        segments.replaceSubrange(first..<(first + compacted.sources.count), with: [compacted.segment])
        do throws(LogError) { try files.synchronizeDirectory(directory) } catch {
            // Which of the two files a restart finds is unknown: the others must stay until it has looked.
            cancelCompaction()
            spoil(error, "a compacted segment may not be on the disk")
            throw error
        }
        // The index files are the new segment's only now.
        compacted.segment.releaseIndexes()
        // What cannot be removed now is removed at the next start.
        for source in compacted.sources.dropFirst() { try? Segment.remove(source.baseOffset, in: directory, files) }
        try? SegmentSummary.write([compacted.segment.summary!], base, in: directory, files)
        return true
    }

    /// Ends the pass that is out.
    package func finishCompaction() {
        compaction = nil
    }

    /// Tells the thread to stop, and refuses what it still brings.
    package func cancelCompaction() {
        compaction?.cancel()
        compaction = nil
    }

    private func canInstall(_ compacted: CompactedSegment, at first: Int) -> Bool {
        guard !isClosed, refusal == nil, compaction === compacted.pass, !compacted.pass.isCancelled,
            first + compacted.sources.count < segments.count
        else { return false }
        return compacted.sources.indices.allSatisfy { index in
            let (segment, source) = (segments[first + index], compacted.sources[index])
            return segment.baseOffset == source.baseOffset && segment.generation == source.generation
        }
    }

    /// Later segments of the pass rely on the earlier ones: without one, the rest may not come.
    private func discard(_ compacted: CompactedSegment) {
        guard compaction === compacted.pass else { return }
        cancelCompaction()
        try? files.remove(compacted.temporaryPath)
    }

    private var cleanableSegments: ArraySlice<Segment> {
        segments.dropLast().prefix { $0.endOffset <= durableOffset }
    }
}

extension Segment {
    /// Whether compaction has seen all of it.
    fileprivate var isClean: Bool { summary.map { $0.cleanedOffset >= endOffset } ?? false }
}
