internal import Synchronization

/// How far a partition has been processed: everything before `consumed` was handed out and released.
///
/// A seek begins a new one, so that batches from before it move nothing when they are released.
/// - Threading: any.
final class ConsumptionProgress: Sendable {
    private enum Fate {
        case inUse, processed
        /// Given back without a word: nothing from here on counts as processed.
        case dropped
    }
    private struct State {
        var consumed: Int64
        /// Handed out, oldest first; processed ones wait for an older one.
        var handedOut: [(end: Int64, fate: Fate)] = []
    }
    private let state: Mutex<State>

    init(from offset: Int64) { state = Mutex(State(consumed: offset)) }

    /// Offset of the first record that may not have been processed.
    var consumed: Int64 { state.withLock { $0.consumed } }

    /// Whether nothing is in the reader's hands.
    var isIdle: Bool { state.withLock { state in !state.handedOut.contains { $0.fate == .inUse } } }

    func handOut(to end: Int64) { state.withLock { $0.handedOut.append((end, .inUse)) } }

    /// - Parameter isProcessed: False when the reader only gave the memory back.
    func release(to end: Int64, isProcessed: Bool) {
        state.withLock { state in
            guard let index = state.handedOut.firstIndex(where: { $0.end == end && $0.fate == .inUse }) else { return }
            state.handedOut[index].fate = isProcessed ? .processed : .dropped
            while let first = state.handedOut.first, first.fate == .processed {
                state.consumed = first.end
                state.handedOut.removeFirst()
            }
            if state.handedOut.first?.fate == .dropped {
                let rest = state.handedOut.dropFirst().filter { $0.fate == .inUse }
                state.handedOut = [state.handedOut[0]] + rest
            }
        }
    }
}
