internal import NIOCore
internal import Synchronization

/// Memory of one kind that connections hold, those of all event loops: when it is too much, whoever holds most is
/// closed, and not who came last. Redis does so with its clients (`maxmemory-clients`).
///
/// Of each connection the first ``uncountedBytes`` are free: so those that are served at once never come here.
/// - Threading: any thread.
final class HeldBytes: Sendable {
    static let uncountedBytes = 4096
    /// For the log: what is held, and the setting that says how much.
    private let what: String
    private let bytesMax: Int
    private let state = Mutex(State())

    private struct State {
        var bytes = 0
        var holders: [UInt64: (bytes: Int, loop: NetworkLoop)] = [:]

        mutating func set(_ held: Int, _ connection: UInt64, _ loop: NetworkLoop) {
            bytes += held - (holders[connection]?.bytes ?? 0)
            holders[connection] = held > 0 ? (held, loop) : nil
        }
    }

    init(_ what: String, bytesMax: Int) {
        self.what = what
        self.bytesMax = bytesMax
    }

    /// How much is held now.
    var bytes: Int { state.withLock { $0.bytes } }

    /// Takes note of what a connection holds now.
    /// - Parameter known: What it held when it said so last.
    func set(_ held: Int, known: inout Int, of connection: UInt64, on loop: NetworkLoop) {
        let held = held > Self.uncountedBytes ? held : 0
        guard held != known else { return }
        known = held
        let closed = state.withLock { state in
            state.set(held, connection, loop)
            var closed: [(connection: UInt64, bytes: Int, loop: NetworkLoop)] = []
            while state.bytes > bytesMax, let most = state.holders.max(by: { $0.value.bytes < $1.value.bytes }) {
                state.set(0, most.key, most.value.loop)
                closed.append((most.key, most.value.bytes, most.value.loop))
            }
            return closed
        }
        for (connection, bytes, loop) in closed {
            loop.eventLoop.execute { [what, bytesMax] in
                loop.connections[connection]?.refuse("holds most, \(bytes) bytes, of \(what): \(bytesMax) for all")
            }
        }
    }
}
