internal import RecordFormat

extension PartitionLog {
    /// Appends batches in order; one `pwritev` for all of them, but for a roll between.
    ///
    /// Base offset and leader epoch are patched into the memory. Nothing is durable yet: see `takeFlushTicket`.
    /// When the disk refuses, the file is cut back to where it was, producers' state too, and every batch of that write
    /// (and those after it) is `.rejected(.storage)`; a later call works again once there is space.
    /// - Parameter batches: Validated batches (`RecordBatch.validate`), each exactly its size, in memory that nobody
    ///   else can write. Borrowed for the call.
    /// - Returns: One result per batch, in order.
    /// - Precondition: not closed.
    package func append(_ batches: [UnsafeMutableRawBufferPointer]) -> [AppendResult] {
        var results: [AppendResult] = []
        unsafe results.reserveCapacity(batches.count)
        unsafe append(batches, &results)
        return results
    }

    /// The same into an empty array, whose memory can be used again.
    package func append(_ batches: [UnsafeMutableRawBufferPointer], _ results: inout [AppendResult]) {
        precondition(!isClosed, "append to a closed log")
        precondition(results.isEmpty, "the results of another append")
        if let refusal {
            return unsafe results.append(contentsOf: repeatElement(.rejected(refusal), count: batches.count))
        }
        do throws(LogError) {
            try activate()
            try segments[segments.count - 1].open()
        } catch {
            return unsafe results.append(contentsOf: repeatElement(.rejected(.storage(error)), count: batches.count))
        }
        while unsafe results.count < batches.count {
            let runStart = results.count
            let runOffset = logEndOffset
            unsafe admit(batches, into: &results)
            if let error = write(from: runOffset) {
                reject(&results, from: runStart, writtenFrom: runOffset, error)
                let missing = unsafe batches.count - results.count
                results.append(contentsOf: repeatElement(.rejected(.storage(error)), count: missing))
            }
        }
    }

    /// Judges batches from `results.count` on, and collects the accepted ones into `run` until the segment is full.
    private func admit(_ batches: [UnsafeMutableRawBufferPointer], into results: inout [AppendResult]) {
        while unsafe results.count < batches.count {
            let bytes = unsafe batches[results.count]
            var header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(bytes))
            precondition(
                header.sizeInBytes == bytes.count && header.hasConsistentCount, "append of a batch nobody validated")
            switch producers.verdict(header) {
            case .duplicate(let batch):
                results.append(.duplicate(base: batch.baseOffset, last: batch.lastOffset))
            case .outOfOrderSequence:
                results.append(.rejected(.outOfOrderSequence))
            case .invalidProducerEpoch:
                results.append(.rejected(.invalidProducerEpoch))
            case .invalidTransactionState:
                results.append(.rejected(.invalidTransactionState))
            case .accept:
                if !fits(header) {
                    // A full segment ends the run; the batch is judged again with the next one.
                    if !run.isEmpty { return }
                    if let error = roll() {
                        // All the rest too: a smaller batch must not slip into the old segment, past its predecessors.
                        let rest = unsafe batches.count - results.count
                        results.append(contentsOf: repeatElement(.rejected(.storage(error)), count: rest))
                        return
                    }
                }
                header.baseOffset = logEndOffset
                header.partitionLeaderEpoch = leaderEpoch
                unsafe RecordBatch.assign(baseOffset: logEndOffset, leaderEpoch: leaderEpoch, in: bytes)
                let marker = header.isControl ? unsafe EndTransactionMarker(UnsafeRawBufferPointer(bytes)) : nil
                producers.record(header, baseOffset: logEndOffset, marker)
                unsafe run.add(header, bytes)
                results.append(.appended(base: header.baseOffset, last: header.lastOffset))
                logEndOffset = header.lastOffset.advanced(by: 1)
            }
        }
    }

    /// Whether the active segment, with the run, has room. An empty one always has.
    private func fits(_ header: RecordBatchHeader) -> Bool {
        let active = segments[segments.count - 1]
        let used = active.sizeInBytes + Int64(run.byteCount)
        guard used > 0 else { return true }
        // Index entries hold relative offsets and positions in 32 bits, signed for other readers' sake.
        let last = logEndOffset.advanced(by: Int64(header.lastOffsetDelta))
        return used + Int64(header.sizeInBytes) <= Int64(options.segmentBytes)
            && active.baseOffset.distance(to: last) <= Int64(Int32.max)
    }

    /// Begins a new segment at the log's end.
    func roll() -> LogError? {
        do throws(LogError) {
            let old = segments[segments.count - 1]
            // What no ticket has covered needs its descriptor; no ticket will be taken for what is durable already.
            let isDurable = old.endOffset <= durableOffset
            if !isDurable { old.isDirty = true }
            // Once there is a next segment, nobody looks into this one for them again.
            try old.saveAborted()
            let new = try Segment.create(
                logEndOffset, in: directory, options: options, openFiles: volume.openFiles, files)
            old.releaseIndexes()
            try? writeSnapshot()
            segments.append(new)
            if isDurable {
                // A whole segment is durable: no ticket will say so.
                volume.isRecoveryPointStale = true
            } else {
                // The next ticket has both files.
                new.isDirty = true
                unsynced.append(old)
            }
            statistics.rolls += 1
            return nil
        } catch {
            // Whether the file's name is on the disk is unknown, and an empty file may be in the way of the next try.
            let path = directory + "/" + Segment.name(logEndOffset)
            if files.exists(path) { spoil(error, "the new segment is left half made") }
            return error
        }
    }

    /// Writes the run and takes note of it, or undoes it.
    private func write(from runOffset: Offset) -> LogError? {
        guard !run.isEmpty else { return nil }
        defer { run.removeAll() }
        let active = segments[segments.count - 1]
        let number = run.write(to: active.file, at: active.sizeInBytes, calls: &statistics.writeCalls)
        guard number == 0 else {
            let error = LogError(errno: number, "append of \(run.byteCount) bytes to", active.file.path)
            producers.rollBack()
            logEndOffset = runOffset
            do throws(LogError) { try active.file.truncate(to: active.sizeInBytes) } catch {
                spoil(error, "a failed append could not be undone")
            }
            return error
        }
        for header in run.headers {
            active.add(header)
            noteEpoch(of: header)
        }
        active.isDirty = true
        statistics.bytesAppended += run.byteCount
        take(producers.commit(), in: active)
        return nil
    }

    /// Takes back the verdicts of a run that was not written. Only duplicates of older batches stand: all others were
    /// judged by state that is gone.
    private func reject(
        _ results: inout [AppendResult], from start: Int, writtenFrom runOffset: Offset, _ error: LogError
    ) {
        for index in start..<results.count {
            if case .duplicate(_, let last) = results[index], last < runOffset { continue }
            results[index] = .rejected(.storage(error))
        }
    }
}
