internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// What all Kafka listeners of a process share: event loops, memory for requests, and the number of connections.
package final class NetworkResources: Sendable {
    let configuration: NetworkConfiguration
    let group: MultiThreadedEventLoopGroup
    let pool: FramePool
    /// What requests come to that the reactor has not served yet.
    let queued: RequestAccount
    /// The same of Produce requests, beside their frames: nothing that takes long stands before them.
    let queuedBatches: RequestAccount
    /// Answers that clients do not take.
    let unread: HeldBytes
    /// What connections have sent and is not handled yet, without what is in the pool.
    let kept: HeldBytes
    /// Connections that are open now.
    let connectionCount = Atomic<Int>(0)
    private let nextConnection = Atomic<UInt64>(1)

    /// - Throws: ``NetworkError`` when there is not memory for one request of the longest kind.
    package init(_ configuration: NetworkConfiguration = NetworkConfiguration()) throws {
        let needed = FramePool.roundedUp(configuration.requestBytesMax + NetworkConfiguration.firstReadBytes)
        let longest = FramePool.longest(ofPoolWith: configuration.queuedBytesMax)
        guard needed <= longest else {
            throw NetworkError(
                """
                queued.max.request.bytes is \(configuration.queuedBytesMax), of which a request may have \(longest): \
                one of socket.request.max.bytes (\(configuration.requestBytesMax)) needs \(needed)
                """)
        }
        self.configuration = configuration
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        group = MultiThreadedEventLoopGroup(
            numberOfThreads: configuration.threads > 0 ? configuration.threads : cores)
        pool = FramePool(bytesMax: configuration.queuedBytesMax)
        queued = RequestAccount(bytesMax: configuration.queuedBytesMax)
        queuedBatches = RequestAccount(bytesMax: configuration.queuedBytesMax)
        unread = HeldBytes(
            "answers that are not taken (queued.max.response.bytes)", bytesMax: configuration.queuedAnswerBytesMax)
        kept = HeldBytes("what was sent before the end", bytesMax: configuration.keptBytesMax)
    }

    /// Ends the event loops: after the last listener.
    package func shutdown() {
        // It fails only when it was shut down before.
        try? group.syncShutdownGracefully()
    }

    func numberOfNextConnection() -> UInt64 { nextConnection.add(1, ordering: .relaxed).oldValue }
}
