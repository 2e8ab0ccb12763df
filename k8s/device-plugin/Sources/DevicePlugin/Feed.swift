package import Resources
import Synchronization

/// The newest pool of a resource, and those who wait for newer ones. Whoever is slow misses what lies between.
package final class Feed: Sendable {
    private struct State {
        var pool: Pool
        var subscribers: [Int: AsyncStream<Pool>.Continuation] = [:]
        var nextID = 0
    }

    private let state: Mutex<State>

    /// A feed that begins with `pool`.
    package init(_ pool: Pool) { state = Mutex(State(pool: pool)) }

    /// The newest.
    package var pool: Pool { state.withLock { $0.pool } }

    /// Replaces the newest.
    package func publish(_ pool: Pool) {
        let subscribers = state.withLock { state in
            state.pool = pool
            return Array(state.subscribers.values)
        }
        for subscriber in subscribers { subscriber.yield(pool) }
    }

    /// The newest pool and what comes after it, until `finish` is called.
    func subscribe() -> (pools: AsyncStream<Pool>, finish: @Sendable () -> Void) {
        let (pools, continuation) = AsyncStream.makeStream(of: Pool.self, bufferingPolicy: .bufferingNewest(1))
        let id = state.withLock { state in
            state.nextID += 1
            state.subscribers[state.nextID] = continuation
            continuation.yield(state.pool)
            return state.nextID
        }
        return (
            pools,
            { [self] in
                state.withLock { _ = $0.subscribers.removeValue(forKey: id) }
                continuation.finish()
            }
        )
    }
}
