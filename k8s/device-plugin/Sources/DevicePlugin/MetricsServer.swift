internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// Where metrics and health are served.
package struct MetricsAddress: Sendable, Equatable {
    /// An address or a host's name.
    package var host: String
    /// 0 for any free one.
    package var port: Int

    /// Reads `HOST:PORT`, `[::1]:9441` too; nil when it is none.
    package init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        guard !host.isEmpty else { return nil }
        self.host = String(host)
        self.port = Int(port)
    }
}

/// HTTP for probes and Prometheus: GET of a few paths, nothing else.
struct MetricsServer: Sendable {
    struct Answer: Sendable {
        var status: Int
        var text: String
    }

    private let channel: any Channel
    /// More at once are turned away: a probe and a few scrapers are what there should be.
    private static let connectionsMax = 256
    /// Longer than the usual scrape intervals, so that their connections stay.
    static let idleTime = TimeAmount.seconds(120)

    private final class ConnectionCount: Sendable {
        let value = Atomic(0)
    }

    /// Listens; `answer` gives a page by its path, or nil where there is none.
    init(
        _ address: MetricsAddress, group: MultiThreadedEventLoopGroup, idleTime: TimeAmount = Self.idleTime,
        answer: @escaping @Sendable (String) async -> Answer?
    ) async throws(PluginError) {
        let connections = ConnectionCount()
        do {
            channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let number = connections.value.wrappingAdd(1, ordering: .relaxed).newValue
                        channel.closeFuture.whenComplete { _ in
                            connections.value.wrappingSubtract(1, ordering: .relaxed)
                        }
                        guard number <= Self.connectionsMax else {
                            throw PluginError("more than \(Self.connectionsMax) connections")
                        }
                        let pipeline = channel.pipeline.syncOperations
                        try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
                        try pipeline.addHandler(IdleStateHandler(allTimeout: idleTime))
                        try pipeline.addHandler(Handler(answer))
                    }
                }
                .bind(host: address.host, port: address.port).get()
        } catch {
            throw PluginError("cannot listen on \(address.host):\(address.port) for metrics: \(error)")
        }
    }

    /// Where it listens; the port when any was asked for.
    var address: SocketAddress? { channel.localAddress }

    func close() async throws { try await channel.close() }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let answer: @Sendable (String) async -> Answer?
        private var head: HTTPRequestHead?

        init(_ answer: @escaping @Sendable (String) async -> Answer?) { self.answer = answer }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): self.head = head
            case .body: break
            case .end:
                guard let head else { return }
                self.head = nil
                reply(to: head, on: context.channel)
            }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
            context.fireUserInboundEventTriggered(event)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func reply(to head: HTTPRequestHead, on channel: any Channel) {
            let path = String(head.uri.prefix { $0 != "?" })
            let isRead = head.method == .GET || head.method == .HEAD
            Task { [answer] in
                let page = isRead ? await answer(path) : Answer(status: 405, text: "GET or HEAD\n")
                let answer = page ?? Answer(status: 404, text: "there are /healthz and /metrics\n")
                var reply = HTTPResponseHead(version: head.version, status: .init(statusCode: answer.status))
                reply.headers.add(name: "content-type", value: "text/plain; version=0.0.4; charset=utf-8")
                reply.headers.add(name: "content-length", value: "\(answer.text.utf8.count)")
                if !head.isKeepAlive { reply.headers.add(name: "connection", value: "close") }
                channel.write(HTTPServerResponsePart.head(reply), promise: nil)
                if head.method != .HEAD {
                    let body = channel.allocator.buffer(string: answer.text)
                    channel.write(HTTPServerResponsePart.body(.byteBuffer(body)), promise: nil)
                }
                try? await channel.writeAndFlush(HTTPServerResponsePart.end(nil))
                if !head.isKeepAlive { try? await channel.close() }
            }
        }
    }
}
