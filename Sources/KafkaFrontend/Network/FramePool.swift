internal import Synchronization

/// A piece of a ``FramePool``. Goes back by ``FramePool/giveBack(_:)``, or not at all.
// Unchecked: a pointer, which has one owner at a time.
@safe struct FrameMemory: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
}

/// Memory for requests that are being received or handled: bounded, and kept to be used again.
///
/// Who finds none waits; first come, first served. Long requests stand in a line of their own, and an eighth of the
/// memory is not for them: whoever announces some of them and does not send them stops no others.
/// - Threading: any thread.
final class FramePool: Sendable {
    private let state: Mutex<State>

    /// - Parameter bytesMax: All that is ever held, in use or not.
    init(bytesMax: Int) {
        state = Mutex(State(bytesMax: bytesMax))
    }

    deinit {
        state.withLock { $0.freeSpare(until: 0) }
    }

    /// Memory of at least `count` bytes; or nil, and `whenThere` is called with it later, on any thread.
    /// - Parameters:
    ///   - ticket: Names the waiting one for ``cancel(_:)``.
    ///   - whenThere: Makes what is called: only for who must wait.
    func take(
        _ count: Int, ticket: UInt64, whenThere: () -> @Sendable (FrameMemory) -> Void
    ) -> FrameMemory? {
        state.withLock { state in
            let byteCount = Self.roundedUp(count)
            let isLong = byteCount > state.longBytes
            if isLong ? state.longWaiters.isEmpty : state.waiters.isEmpty, state.hasRoom(for: byteCount) {
                return state.take(byteCount)
            }
            let waiter = Waiter(byteCount: byteCount, ticket: ticket, whenThere: whenThere())
            if isLong { state.longWaiters.append(waiter) } else { state.waiters.append(waiter) }
            return nil
        }
    }

    /// Whoever waits under this ticket waits no longer. It may have been given memory just before.
    func cancel(_ ticket: UInt64) {
        let served = state.withLock { state in
            state.waiters.remove(ticket)
            state.longWaiters.remove(ticket)
            return state.serveWaiters()
        }
        for (waiter, memory) in served { waiter.whenThere(memory) }
    }

    /// Takes memory back, and hands it on to those who wait.
    func giveBack(_ memory: FrameMemory) {
        let served = state.withLock { state in
            state.keep(memory)
            return state.serveWaiters()
        }
        for (waiter, memory) in served { waiter.whenThere(memory) }
    }

    /// How many wait.
    var waiterCount: Int { state.withLock { $0.waiters.count + $0.longWaiters.count } }

    /// Bytes that are in use, and all that are held.
    var byteCounts: (used: Int, held: Int) { state.withLock { ($0.usedBytes, $0.heldBytes) } }

    /// The longest piece that a pool gives.
    static func longest(ofPoolWith bytesMax: Int) -> Int { bytesMax - bytesMax / 8 }

    /// Pages, in steps of a quarter of a power of two: at most a fifth is wasted of what is longer than 16 KiB.
    static func roundedUp(_ count: Int) -> Int {
        let octave = Int.bitWidth - 1 - max(count - 1, 1).leadingZeroBitCount
        let step = max(4096, 1 << max(0, octave - 2))
        return (count + step - 1) / step * step
    }

    private struct Waiter {
        let byteCount: Int
        let ticket: UInt64
        let whenThere: @Sendable (FrameMemory) -> Void
    }

    /// Those who wait, in their order. Whoever goes costs the same wherever it stands: thousands may go at once.
    private struct Line {
        /// By place; the first one's is `firstPlace`, the next to come gets `end`.
        private var waiters: [UInt64: Waiter] = [:]
        private var places: [UInt64: UInt64] = [:]
        private var firstPlace: UInt64 = 0
        private var end: UInt64 = 0

        var count: Int { waiters.count }
        var isEmpty: Bool { waiters.isEmpty }
        var first: Waiter? { waiters[firstPlace] }

        mutating func append(_ waiter: Waiter) {
            precondition(places.updateValue(end, forKey: waiter.ticket) == nil, "waits already")
            waiters[end] = waiter
            end += 1
        }

        mutating func removeFirst() -> Waiter {
            guard let first else { preconditionFailure("nobody waits") }
            remove(first.ticket)
            return first
        }

        mutating func remove(_ ticket: UInt64) {
            guard let place = places.removeValue(forKey: ticket) else { return }
            waiters[place] = nil
            while firstPlace < end, waiters[firstPlace] == nil { firstPlace += 1 }
        }
    }

    private struct State {
        let bytesMax: Int
        var usedBytes = 0
        var heldBytes = 0
        /// Pieces that nobody uses, one array for each size that there is.
        var spare: [(byteCount: Int, pieces: [FrameMemory])] = []
        var waiters = Line()
        var longWaiters = Line()

        init(bytesMax: Int) { self.bytesMax = bytesMax }

        var longBytes: Int { bytesMax / 32 }

        func hasRoom(for byteCount: Int) -> Bool {
            let max = byteCount > longBytes ? FramePool.longest(ofPoolWith: bytesMax) : bytesMax
            return usedBytes + byteCount <= max
        }

        mutating func take(_ byteCount: Int) -> FrameMemory {
            usedBytes += byteCount
            if let place = place(of: byteCount), let memory = spare[place].pieces.popLast() { return memory }
            if heldBytes + byteCount > bytesMax { freeSpare(until: bytesMax - byteCount) }
            heldBytes += byteCount
            let base = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 4096)
            return unsafe FrameMemory(base: base, byteCount: byteCount)
        }

        mutating func keep(_ memory: FrameMemory) {
            usedBytes -= memory.byteCount
            if let place = place(of: memory.byteCount) {
                spare[place].pieces.append(memory)
            } else {
                spare.append((memory.byteCount, [memory]))
            }
        }

        /// There are four sizes for each power of two, and mostly few are in use.
        private func place(of byteCount: Int) -> Int? { spare.firstIndex { $0.byteCount == byteCount } }

        mutating func freeSpare(until bytes: Int) {
            for place in spare.indices {
                while heldBytes > bytes, let memory = spare[place].pieces.popLast() {
                    heldBytes -= memory.byteCount
                    unsafe memory.base.deallocate()
                }
            }
        }

        mutating func serveWaiters() -> [(Waiter, FrameMemory)] {
            guard !waiters.isEmpty || !longWaiters.isEmpty else { return [] }
            var served: [(Waiter, FrameMemory)] = []
            while let first = waiters.first, hasRoom(for: first.byteCount) {
                served.append((waiters.removeFirst(), take(first.byteCount)))
            }
            // Short ones first: the long ones would otherwise be given what the short ones have been waiting for.
            while let first = longWaiters.first, waiters.isEmpty, hasRoom(for: first.byteCount) {
                served.append((longWaiters.removeFirst(), take(first.byteCount)))
            }
            return served
        }
    }
}
