import Glibc
import RDMATransport

/// Runs measurements over the connection manager: a server answers clients, one size and connection at a time.
package enum BenchSession {
    /// Measures each size against a server; `report` gets each result as it comes.
    package static func client(
        host: String, _ options: BenchOptions, report: (BenchResult) -> Void
    ) throws {
        for (index, size) in options.sizes.enumerated() {
            let parameters = BenchParameters(options, size: size, isLast: index == options.sizes.count - 1)
            let channel = try EventChannel()
            var end = try connect(channel, host, options.port, parameters)
            var result = BenchResult(
                test: options.test, byteCount: parameters.size, iterations: parameters.iterations)
            if options.test.isLatency {
                result.microseconds = try end.runLatency()
            } else {
                result.seconds = try end.runBandwidth()
            }
            report(result)
            end.identifier.disconnect()
            _ = try nextEvent(channel, [.disconnected], "the end of the connection")
            end.peer.key = 0
        }
    }

    /// Serves one client's measurements. `whenListening` is called once clients may come.
    package static func server(
        host: String, _ options: BenchOptions, whenListening: (UInt16) -> Void = { _ in }
    ) throws {
        let channel = try EventChannel()
        let listener = try ConnectionIdentifier(channel: channel)
        try listener.setReuseAddress(true)
        try listener.bind(host: host, port: options.port)
        try listener.listen(backlog: 8)
        whenListening(listener.localPort)
        var isDone = false
        while !isDone {
            let event = try nextEvent(channel, [.connectRequest], "a client", seconds: nil)
            guard let identifier = event.request else { continue }
            do {
                isDone = try serve(channel, identifier, event.privateData, options)
            } catch let error as BenchError {
                identifier.reject(privateData: Array("\(error)".utf8.prefix(140)))
                throw error
            }
        }
    }

    private static func serve(
        _ channel: EventChannel, _ identifier: ConnectionIdentifier, _ privateData: [UInt8], _ options: BenchOptions
    ) throws -> Bool {
        let parameters = try BenchParameters(parsing: privateData)
        guard parameters.test == options.test else {
            throw BenchError("the client measures \(parameters.test.rawValue), this server \(options.test.rawValue)")
        }
        var end = try BenchEnd(parameters, on: identifier)
        end.peer = RemoteSlice(key: parameters.key, address: parameters.address)
        try end.postReceives()
        var answer = parameters
        (answer.key, answer.address) = (end.region.remoteKey, end.region.address)
        try identifier.accept(connectionParameters(answer))
        _ = try nextEvent(channel, [.established], "the client's confirmation")
        if !parameters.test.isOneSided {
            if parameters.test.isLatency { try end.answerLatency() } else { try end.takeMessages() }
        }
        _ = try nextEvent(channel, [.disconnected], "the end of the measurement", seconds: nil)
        identifier.disconnect()
        return parameters.isLast
    }

    private static func connect(
        _ channel: EventChannel, _ host: String, _ port: UInt16, _ parameters: BenchParameters
    ) throws -> BenchEnd {
        let identifier = try ConnectionIdentifier(channel: channel)
        try identifier.resolveAddress(host: host, port: port, timeoutMilliseconds: 5000)
        _ = try nextEvent(channel, [.addressResolved], "\(host) to be found")
        try identifier.resolveRoute(timeoutMilliseconds: 5000)
        _ = try nextEvent(channel, [.routeResolved], "a way to \(host)")
        var end = try BenchEnd(parameters, on: identifier)
        try end.postReceives()
        var mine = parameters
        (mine.key, mine.address) = (end.region.remoteKey, end.region.address)
        try identifier.connect(connectionParameters(mine))
        let event = try nextEvent(channel, [.established], "\(host):\(port) to answer")
        let answer = try BenchParameters(parsing: event.privateData)
        end.peer = RemoteSlice(key: answer.key, address: answer.address)
        return end
    }

    private static func connectionParameters(_ parameters: BenchParameters) -> ConnectionParameters {
        var result = ConnectionParameters()
        result.privateData = parameters.encoded
        return result
    }

    /// Waits for one of some events; anything else is an error.
    private static func nextEvent(
        _ channel: EventChannel, _ kinds: [ConnectionEvent.Kind], _ what: String, seconds: Int32? = 20
    ) throws -> ConnectionEvent {
        while true {
            if let event = channel.next() {
                if kinds.contains(event.kind) { return event }
                if event.kind == .timeWaitEnded || event.kind == .disconnected { continue }
                throw BenchError(explain(event, what))
            }
            var entry = pollfd(fd: channel.descriptor, events: Int16(POLLIN), revents: 0)
            guard unsafe poll(&entry, 1, seconds.map { $0 * 1000 } ?? -1) != 0 else {
                throw BenchError("no sign of \(what) in \(seconds ?? 0) s")
            }
        }
    }

    private static func explain(_ event: ConnectionEvent, _ what: String) -> String {
        guard event.kind == .rejected else { return "while waiting for \(what): \(event.kind)" }
        let said = String(decoding: event.privateData.prefix { $0 != 0 }, as: UTF8.self)
        return said.isEmpty
            ? "nobody serves this test there: start `rdmad bench transport TEST` without a host on the other side first"
            : "the server says: \(said)"
    }
}

extension BenchEnd {
    func postReceives() throws(BenchError) {
        guard parameters.test.isSend else { return }
        var chain = ReceiveChain(capacity: parameters.receiveDepth)
        for _ in 0..<parameters.receiveDepth { unsafe chain.append(workID: 2, incoming) }
        guard chain.post(to: queuePair) == .posted else { throw BenchError("receives were refused") }
    }
}
