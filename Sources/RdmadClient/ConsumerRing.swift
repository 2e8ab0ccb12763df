internal import RDMATransport
internal import Synchronization
internal import TopicProtocol

/// The memory that one connection's broker writes into, and which parts of it are still being read.
///
/// Positions count bytes ever written. Batches may be released in any order; the broker learns of the longest prefix.
/// - Threading: `entries` and `advance` on the link's thread, `release` on any.
final class ConsumerRing: Sendable {
    let memory: MemoryBlock
    fileprivate let state: Mutex<State>

    fileprivate struct State {
        /// Everything before it has arrived.
        var written: UInt64 = 0
        /// Handed out and not given back, oldest first; `isReleased` ones wait for an older one.
        var runs: [(start: UInt64, end: UInt64, isReleased: Bool)] = []
        /// Everything before it may be overwritten.
        var released: UInt64 = 0
        /// The broker knows that everything before it may be overwritten.
        var credited: UInt64 = 0
    }

    init(byteCount: Int) throws(FabricError) {
        memory = try MemoryBlock(byteCount: byteCount, name: "rdmad-ring")
        state = Mutex(State())
    }

    var byteCount: Int { unsafe memory.bytes.count }

    /// The absolute position behind an immediate value: it carries 32 bits of it, in units of 64 bytes.
    static func position(after written: UInt64, immediate: UInt32) -> UInt64 {
        let unit = UInt64(RingEntry.alignment)
        return written + UInt64(immediate &- UInt32(truncatingIfNeeded: written / unit)) * unit
    }

    /// Takes in how far the broker has written; the new entries, with where they begin and end.
    func advance(_ immediate: UInt32) throws(FrameError) -> [(entry: RingEntry, start: UInt64, end: UInt64)] {
        let from = state.withLock { $0.written }
        let to = Self.position(after: from, immediate: immediate)
        let size = UInt64(byteCount)
        guard to - state.withLock({ $0.released }) <= size else {
            throw FrameError("the ring was written past its end")
        }
        var found: [(entry: RingEntry, start: UInt64, end: UInt64)] = []
        var skipped: [(start: UInt64, end: UInt64)] = []
        var position = from
        while position < to {
            let offset = Int(position % size)
            let header = unsafe UnsafeRawBufferPointer(rebasing: memory.bytes[offset..<offset + RingEntry.headerBytes])
            let end: UInt64
            if let entry = unsafe try RingEntry.parse(header) {
                end = position + UInt64(RingEntry.footprint(entry.byteCount))
                guard offset + RingEntry.footprint(entry.byteCount) <= byteCount else {
                    throw FrameError("a ring entry of \(entry.byteCount) bytes crosses the ring's end")
                }
                found.append((entry, position, end))
            } else {
                end = position + UInt64(byteCount - offset)
                skipped.append((position, end))
            }
            guard end <= to else { throw FrameError("a ring entry ends behind what was announced") }
            position = end
        }
        state.withLock { state in
            state.written = to
            for run in found { state.runs.append((run.start, run.end, false)) }
            for run in skipped { state.runs.append((run.start, run.end, true)) }
            state.runs.sort { $0.start < $1.start }
            state.settle()
        }
        return found
    }

    /// The bytes of an entry's batches.
    func batches(_ entry: RingEntry, at start: UInt64) -> UnsafeRawBufferPointer {
        let offset = Int(start % UInt64(byteCount)) + RingEntry.headerBytes
        return unsafe UnsafeRawBufferPointer(rebasing: memory.bytes[offset..<offset + entry.byteCount])
    }

    /// Gives an entry back. Returns whether so much is free now that the broker must know.
    func release(start: UInt64) -> Bool {
        state.withLock { state in
            guard let index = state.runs.firstIndex(where: { $0.start == start }) else { return false }
            state.runs[index].isReleased = true
            state.settle()
            return state.released - state.credited >= creditBytes
        }
    }

    /// So much is worth a message: an eighth.
    private var creditBytes: UInt64 { UInt64(byteCount / 8) }

    /// What the broker should be told.
    /// - Parameter isLate: It has not heard of anything for long: then any byte is worth a message.
    func credit(isLate: Bool) -> UInt64? {
        state.withLock { state in
            let count = state.released - state.credited
            return count > 0 && (isLate || count >= creditBytes) ? state.released : nil
        }
    }

    /// The broker was told.
    func didCredit(_ position: UInt64) { state.withLock { $0.credited = position } }

    /// Something was written that the broker has not got back.
    var owesCredit: Bool { state.withLock { $0.written > $0.credited } }
}

extension ConsumerRing.State {
    /// Moves `released` over the runs that were given back.
    mutating func settle() {
        var count = 0
        while count < runs.count, runs[count].isReleased {
            released = runs[count].end
            count += 1
        }
        runs.removeFirst(count)
    }
}
