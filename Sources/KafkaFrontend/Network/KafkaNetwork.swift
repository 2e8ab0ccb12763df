internal import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
internal import Reactor
internal import Synchronization

/// A listener for Kafka's clients: accepts connections onto event loops, each a ``KafkaConnection``.
final class KafkaNetwork: AnswerSink {
    /// Where it listens, also when any port was asked for.
    let boundPort: Int
    private let loops: [NetworkLoop]
    private let server: any Channel
    private let resources: NetworkResources

    /// Listens when it returns: commands may be in `queue` from then on.
    /// - Parameter port: 0: any that is free.
    /// - Throws: ``NetworkError``.
    init(
        host: String, port: Int, security: ListenerSecurity = ListenerSecurity(), queue: CommandQueue,
        resources: NetworkResources, log: Logger
    ) throws {
        self.resources = resources
        let tls = try security.tls?.load()
        let throttle = LogThrottle()
        var loops: [NetworkLoop] = []
        for eventLoop in resources.group.makeIterator() {
            loops.append(
                NetworkLoop(
                    index: loops.count, eventLoop: eventLoop, resources: resources, queue: queue, throttle: throttle,
                    log: log))
        }
        self.loops = loops
        let bootstrap = ServerBootstrap(group: resources.group)
            .serverChannelOption(.backlog, value: resources.configuration.backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.maxMessagesPerRead, value: 16)
            .serverChannelInitializer { [loops] channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptPause(loop: loops[0]))
                }
            }
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 1)
            .childChannelInitializer { [loops, resources, users = security.users] channel in
                channel.eventLoop.makeCompletedFuture {
                    try Self.open(channel, loops: loops, resources: resources, tls: tls, users: users)
                }
            }
        do {
            server = try bootstrap.bind(host: host, port: port).wait()
        } catch {
            throw NetworkError("cannot listen on \(host):\(port): \(error)")
        }
        boundPort = server.localAddress?.port ?? port
        for loop in loops { loop.start() }
    }

    func deliver(_ answers: [KafkaAnswer], toLoop loop: Int) {
        let loop = loops[loop]
        loop.eventLoop.execute { loop.take(answers) }
    }

    func shutdown() {
        // Closing fails only when it is closed already.
        try? server.close().wait()
        for loop in loops { try? loop.stop().wait() }
    }

    var counters: [(name: String, count: Int)] {
        var sums = loops[0].counters.all
        for loop in loops.dropFirst() {
            for (index, counter) in loop.counters.all.enumerated() { sums[index].count += counter.count }
        }
        return sums
    }

    /// Makes an accepted channel a connection; on its event loop.
    private static func open(
        _ channel: any Channel, loops: [NetworkLoop], resources: NetworkResources, tls: NIOSSLContext?,
        users: UserStore?
    ) throws {
        guard let loop = loops.first(where: { $0.eventLoop === channel.eventLoop }) else {
            preconditionFailure("a channel of another group")
        }
        if loop.isStopped { throw NetworkError("the listener ends") }
        let host = "/" + (channel.remoteAddress?.ipAddress ?? "unknown")
        let limits = resources.configuration
        channel.closeFuture.whenComplete { _ in resources.connectionCount.subtract(1, ordering: .relaxed) }
        guard resources.connectionCount.add(1, ordering: .relaxed).newValue <= limits.connectionsMax else {
            loop.counters.connectionsRefused.count()
            loop.say(
                "kafka connection refused", ["peer": "\(host)", "why": "max.connections is \(limits.connectionsMax)"])
            throw NetworkError("max.connections is \(limits.connectionsMax)")
        }
        let receiver = FrameReceiver(
            pool: resources.pool, scratch: loop.scratch, counters: loop.counters,
            requestBytesMax: users == nil
                ? limits.requestBytesMax : min(limits.requestBytesMax, limits.unauthenticatedBytesMax))
        let connection = KafkaConnection(
            number: resources.numberOfNextConnection(), loop: loop, host: host, receiver: receiver,
            isSecured: tls != nil, users: users)
        if let tls {
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: tls))
        } else {
            try channel.syncOptions?.setOption(.recvAllocator, value: ReceiveAllocator(receiver: receiver))
            try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        }
        try channel.pipeline.syncOperations.addHandler(connection)
        loop.remember(connection)
    }
}
