internal import BrokerCore
internal import Logging
internal import RDMATransport
internal import RecordFormat
internal import TopicLog
internal import TopicProtocol

// From mapped segments into a consumer's ring.
extension FabricDoor {
    /// Pushes from the window at a subscription's cursor.
    /// - Parameter room: Bytes of batches that the ring has room for.
    /// - Returns: nil when there is no window, and there will be none soon: the file must be read.
    func pushFromWindow(_ session: Session, _ subscription: Subscription, room: Int) -> PushOutcome? {
        let partition = subscription.partition
        guard !windows.isOff, !subscription.mustCut,
            let written = partition.log.written(
                at: subscription.cursor, below: subscription.end)
        else { return nil }
        let number = written.position / WindowCache.stepBytes
        let key = WindowKey(partition: partition.address, segment: written.segment, number: number)
        guard let window = windows.find(key) else {
            guard prepareWindow(key, written, partition) else { return nil }
            session.awaitsWindow = true
            return .waits
        }
        guard case .ready(let file, let region) = window.state else {
            session.awaitsWindow = true
            return .waits
        }
        let outcome = push(session, subscription, window, file, region, from: written.position, room)
        if !window.wasUsed {
            window.wasUsed = true
            let next = WindowKey(partition: key.partition, segment: key.segment, number: number + 1)
            if windows.find(next) == nil { _ = prepareWindow(next, written, partition) }
        }
        return outcome
    }

    private func prepareWindow(_ key: WindowKey, _ written: WrittenRange, _ partition: Partition) -> Bool {
        guard let range = WindowCache.range(key.number, of: written),
            let file = try? partition.log.file(of: key.segment)
        else { return false }
        return windows.request(key, range, file, now: monotonicNanoseconds()) { fabric.unregister($0) }
    }

    private func push(
        _ session: Session, _ subscription: Subscription, _ window: Window, _ file: PinnedFile,
        _ region: RegionID, from position: Int64, _ room: Int
    ) -> PushOutcome? {
        let partition = subscription.partition
        let start = Int(position - window.range.lowerBound)
        let left = window.range.count - start
        guard left > 0 else { return nil }
        var cursor = subscription.cursor
        var outcome: LogRead
        var byteCountMax = min(left, room, limits.pushBytes)
        do throws(LogError) {
            func look() throws(LogError) -> LogRead {
                try unsafe partition.log.read(
                    &cursor, below: subscription.end,
                    mapped: UnsafeRawBufferPointer(rebasing: file.bytes[start..<start + byteCountMax]))
            }
            outcome = try look()
            if case .needs(let bytes) = outcome, bytes <= min(left, room) {
                byteCountMax = bytes
                outcome = try look()
            }
        } catch {
            // A read says what to do about it.
            return nil
        }
        switch outcome {
        case .batches(let byteCount, let first, let next):
            guard let header = headers.allocate(RingEntry.headerBytes) else {
                return awaitMemory(session)
            }
            encodeHeader(partition, byteCount, from: first, to: next, at: header)
            let slice = LocalSlice(region: self.region, offset: header, count: RingEntry.headerBytes)
            let payload = LocalSlice(region: region, offset: start, count: byteCount)
            let transfer = Transfer.windowPush(session, header: header, window)
            guard write(session, subscription, cursor, slice, payload, byteCount, transfer) else {
                headers.free(offset: header, byteCount: RingEntry.headerBytes)
                return .blocked
            }
            window.readers += 1
            window.usedAt = monotonicNanoseconds()
            counters.windowPushes += 1
            return .pushed
        case .needs(let bytes) where bytes <= left: return wrap(session, needs: bytes, partition)
        default: return nil
        }
    }

    func dropIdleWindows() {
        guard !windows.isEmpty else { return }
        windows.dropIdle(now: monotonicNanoseconds()) { fabric.unregister($0) }
    }

    /// The space of removed files is free once their windows are gone, too.
    func filesWereDeleted() {
        windows.retire { [broker] key in
            broker.partition(key.partition).map { $0.isDeleted || !$0.log.has(key.segment) } ?? true
        }
        dropIdleWindows()
    }

    /// Takes in the windows that have been prepared; who waited for one may go on.
    func takeWindows() {
        let (isAny, refusal) = windows.takePrepared { (file) throws(FabricError) in try fabric.register(file) }
        guard isAny else { return }
        for session in sessions.values where session.awaitsWindow {
            session.awaitsWindow = false
            session.mayPush = true
        }
        guard let refusal, !saidWindowsRefused else { return }
        saidWindowsRefused = true
        log.warning(
            "log files cannot be served from where they are mapped: read instead",
            metadata: ["window-bytes": "\(windows.byteCountMax)", "why": "\(refusal)"])
    }
}
