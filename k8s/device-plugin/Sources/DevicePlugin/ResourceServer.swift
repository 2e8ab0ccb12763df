internal import CNetlink
internal import GRPCCore
internal import GRPCNIOTransportHTTP2Posix
internal import Glibc
internal import Logging
internal import NIOPosix
internal import Resources

/// One resource's life with the kubelet: serve, register, be listened to, and all that again when the kubelet is new.
///
/// The kubelet never reconnects, and it looks a plugin up by name when a stream ends: the late end of an old stream can
/// kill a new registration. So a server and its streams are over before the next one registers.
package final class ResourceServer: Sendable {
    /// The pool it tells about.
    package let feed: Feed
    /// What happened.
    package let counters = Counters()
    /// The resource's name.
    package let name: String

    private let socketPath: String
    private let kubeletSocket: String
    private let settings: PluginService.Settings
    private let group: MultiThreadedEventLoopGroup
    private let log: Logger
    private let signals: AsyncStream<Signal>
    private let signal: AsyncStream<Signal>.Continuation

    private enum Signal: Sendable {
        /// Look at the sockets.
        case look
        case stream(generation: Int, isOpen: Bool)
        case registered(generation: Int, failure: String?)
        case stop
    }

    private enum Ending {
        case stopped
        /// It had worked: for so long.
        case lost(String, after: Duration)
        case failed(String)
    }

    /// Register was answered, but nobody listens: after so long it is tried again.
    private static let patience = Duration.seconds(5)
    /// A kubelet that listened for so long and left is no failure to be slow about.
    private static let steady = Duration.seconds(10)

    /// A server in the kubelet's directory `directory`.
    init(
        _ pool: Pool, directory: String, settings: PluginService.Settings, group: MultiThreadedEventLoopGroup,
        log: Logger
    ) {
        feed = Feed(pool)
        name = pool.definition.name
        socketPath = "\(directory)/\(pool.definition.endpoint)"
        kubeletSocket = "\(directory)/kubelet.sock"
        self.settings = settings
        self.group = group
        var log = log
        log[metadataKey: "resource"] = "\(pool.definition.name)"
        self.log = log
        (signals, signal) = AsyncStream.makeStream()
    }

    /// Look at the sockets now: something happened in their directory, or time has passed.
    package func look() { signal.yield(.look) }

    /// Ends ``run()``.
    package func stop() { signal.yield(.stop) }

    /// Serves until ``stop()``. Nothing that a kubelet does ends it.
    package func run() async {
        var events = Events(signals, signal)
        var backoff = Backoff()
        var generation = 0
        var kubelet: FileIdentity?
        while !events.isStopped {
            guard let current = FileIdentity(kubeletSocket) else {
                if generation == 0, kubelet == nil { log.info("waiting for \(kubeletSocket)") }
                kubelet = nil
                generation += 1
                _ = await events.next()
                continue
            }
            if current != kubelet { backoff.reset() }
            kubelet = current
            generation += 1
            switch await serve(generation, current, &events) {
            case .stopped: break
            case .lost(let reason, let age):
                counters.count(.losses)
                log.warning("\(reason): registering again")
                if age >= Self.steady { backoff.reset() }
                await pause(&backoff, current, &events)
            case .failed(let reason):
                counters.count(.failedRegistrations)
                log.warning("not registered: \(reason)")
                await pause(&backoff, current, &events)
            }
        }
        log.info("stopped")
    }

    /// Waits before the next attempt; a new kubelet ends the wait.
    private func pause(_ backoff: inout Backoff, _ kubelet: FileIdentity, _ events: inout Events) async {
        let end = ContinuousClock.now + backoff.pause()
        while !events.isStopped, ContinuousClock.now < end {
            if let current = FileIdentity(kubeletSocket), current != kubelet { return }
            _ = await events.next(within: ContinuousClock.now.duration(to: end))
        }
    }

    /// One server, from its socket to the end of its last stream.
    private func serve(_ generation: Int, _ kubelet: FileIdentity, _ events: inout Events) async -> Ending {
        let descriptor = unsafe cnetlink_listen(socketPath)
        guard descriptor >= 0 else {
            return .failed("cannot listen on \(socketPath): \(unsafe String(cString: strerror(errno)))")
        }
        guard let own = FileIdentity(socketPath) else {
            close(descriptor)
            return .failed("the socket \(socketPath) is gone")
        }
        let service = PluginService(feed: feed, settings: settings, counters: counters) { [signal] isOpen in
            signal.yield(.stream(generation: generation, isOpen: isOpen))
        }
        let transport = HTTP2ServerTransport.Posix(
            listeningSocketDescriptor: Int(descriptor), transportSecurity: .plaintext,
            config: .defaults { $0.connection.maxGraceTime = .seconds(1) }, eventLoopGroup: group)
        let server = GRPCServer(transport: transport, services: [service])
        let serving = Task { try await server.serve() }
        _ = try? await transport.listeningAddress
        let ending = await attend(generation, kubelet, own, &events)
        server.beginGracefulShutdown()
        // Streams end at once; a peer that does not read is cut off.
        let cut = Task {
            try await Task.sleep(for: .milliseconds(1500))
            serving.cancel()
        }
        if case .failure(let error) = await serving.result, !serving.isCancelled {
            log.warning("the server of \(socketPath) failed: \(error)")
        }
        cut.cancel()
        counters.setStream(isOpen: false)
        if FileIdentity(socketPath) == own { unsafe unlink(socketPath) }
        return ending
    }

    /// Registers, and watches until something ends.
    private func attend(
        _ generation: Int, _ kubelet: FileIdentity, _ own: FileIdentity, _ events: inout Events
    ) async -> Ending {
        let definition = feed.pool.definition
        let registering = Task { [signal, kubeletSocket, group] in
            do {
                try await Registration.register(definition, kubeletSocket: kubeletSocket, group: group)
                signal.yield(.registered(generation: generation, failure: nil))
            } catch {
                signal.yield(.registered(generation: generation, failure: Registration.reason(error)))
            }
        }
        defer { registering.cancel() }
        var streams = 0
        var opened: ContinuousClock.Instant?
        var deadline: ContinuousClock.Instant?
        while true {
            // The socket is looked at before Register is believed: a kubelet that starts wipes its directory, and may
            // do so between our listening and our registering.
            if FileIdentity(socketPath) != own {
                return lost("the socket \(socketPath) is gone", since: opened)
            }
            if let current = FileIdentity(kubeletSocket), current != kubelet {
                return lost("the kubelet has a new socket", since: opened)
            }
            if let deadline, streams == 0, ContinuousClock.now >= deadline {
                return .failed("the kubelet answered Register but does not listen")
            }
            switch await events.next(within: deadline.map { ContinuousClock.now.duration(to: $0) }) {
            case .stop: return .stopped
            case .registered(generation: generation, let failure):
                if let failure { return .failed("Register: \(failure)") }
                counters.count(.registrations)
                log.info("registered", metadata: ["devices": "\(feed.pool.entries.count)"])
                if streams == 0 { deadline = .now + Self.patience }
            case .stream(generation: generation, isOpen: true):
                streams += 1
                opened = opened ?? .now
                deadline = nil
                counters.setStream(isOpen: true)
            case .stream(generation: generation, isOpen: false):
                streams -= 1
                if streams == 0 { return lost("the kubelet stopped listening", since: opened) }
            case .look, .registered, .stream, nil: break
            }
        }
    }

    private func lost(_ reason: String, since opened: ContinuousClock.Instant?) -> Ending {
        guard let opened else { return .failed(reason) }
        return .lost(reason, after: opened.duration(to: .now))
    }

    /// The signals, with a limit on waiting for the next one.
    private struct Events {
        private var iterator: AsyncStream<Signal>.Iterator
        private let signal: AsyncStream<Signal>.Continuation
        private(set) var isStopped = false

        init(_ signals: AsyncStream<Signal>, _ signal: AsyncStream<Signal>.Continuation) {
            iterator = signals.makeAsyncIterator()
            self.signal = signal
        }

        /// The next signal; `look` when time is up. After a stop there is nothing but stops.
        mutating func next(within limit: Duration? = nil) async -> Signal? {
            if isStopped { return .stop }
            let timer = limit.map { limit in
                Task { [signal] in
                    try await Task.sleep(for: limit)
                    signal.yield(.look)
                }
            }
            let next = await iterator.next(isolation: #isolation)
            timer?.cancel()
            if case .stop = next { isStopped = true }
            return next
        }
    }
}
