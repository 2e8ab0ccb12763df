import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// A client over TLS that trusts everybody: bytes in, bytes out. A read that gets nothing for ten seconds fails.
final class TLSClient: Sendable {
    private let channel: any Channel
    private let inbox: Inbox

    init(port: Int, maximumVersion: TLSVersion? = nil) throws {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.minimumTLSVersion = .tlsv1
        configuration.maximumTLSVersion = maximumVersion
        let context = try NIOSSLContext(configuration: configuration)
        let inbox = Inbox()
        self.inbox = inbox
        channel = try ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try NIOSSLClientHandler(context: context, serverHostname: nil)
                    try channel.pipeline.syncOperations.addHandlers([handler, Collector(inbox)])
                }
            }
            .connect(host: "127.0.0.1", port: port).wait()
    }

    deinit { channel.close(promise: nil) }

    func send(_ bytes: [UInt8]) throws { try channel.writeAndFlush(ByteBuffer(bytes: bytes)).wait() }

    func receive(_ count: Int) throws -> [UInt8] {
        let deadline = Date(timeIntervalSinceNow: 10)
        return try inbox.condition.withLock {
            while inbox.bytes.count < count {
                guard !inbox.isClosed, inbox.condition.wait(until: deadline) else {
                    throw RawClientError("\(inbox.bytes.count) of \(count) bytes came")
                }
            }
            defer { inbox.bytes.removeFirst(count) }
            return Array(inbox.bytes.prefix(count))
        }
    }

    func receiveFrame() throws -> [UInt8] { try receive(try receive(4).reduce(0) { $0 << 8 | Int($1) }) }

    func isClosedByPeer() -> Bool {
        let deadline = Date(timeIntervalSinceNow: 10)
        return inbox.condition.withLock {
            while !inbox.isClosed { guard inbox.condition.wait(until: deadline) else { return false } }
            return inbox.bytes.isEmpty
        }
    }

    // Unchecked: used under its lock.
    private final class Inbox: @unchecked Sendable {
        let condition = NSCondition()
        var bytes: [UInt8] = []
        var isClosed = false
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let inbox: Inbox

        init(_ inbox: Inbox) { self.inbox = inbox }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = unwrapInboundIn(data)
            inbox.condition.withLock {
                inbox.bytes += buffer.readableBytesView
                inbox.condition.broadcast()
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            inbox.condition.withLock {
                inbox.isClosed = true
                inbox.condition.broadcast()
            }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
