internal import Glibc
internal import Logging
internal import NIOCore

/// Lets a listener rest for a second when there is no descriptor for another connection: those who wait in the kernel
/// keep its socket readable, and it would try again at once, for ever.
///
/// SwiftNIO's `AcceptBackoffHandler` only puts off reads. When the first accept of a turn fails, the channel has one
/// pending, stays registered, and spins all the same.
/// - Threading: the listener's event loop.
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private let loop: NetworkLoop

    /// - Parameter loop: Says it in the log.
    init(loop: NetworkLoop) { self.loop = loop }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A connection that was given up before it was accepted says nothing of the next one.
        if let error = error as? IOError, error.errnoCode != ECONNABORTED {
            loop.say("kafka connections cannot be accepted", ["why": "\(error)"])
            let channel = context.channel
            // They fail only when the listener is closed.
            try? channel.syncOptions?.setOption(.autoRead, value: false)
            channel.eventLoop.scheduleTask(in: .seconds(1)) {
                try? channel.syncOptions?.setOption(.autoRead, value: true)
            }
        }
        context.fireErrorCaught(error)
    }
}
