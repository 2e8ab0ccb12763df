import Glibc
import RDMATransport

/// Runs measurements over the connection manager: a server answers clients, one size and connection at a time.
package enum BenchSession {
    /// Measures each size against a server; `report` gets each result as it comes.
    package static func client(
        host: String, _ options: BenchOptions, report: (BenchResult) -> Void
    ) throws {
        let plan = options.tests.flatMap { test in options.sizes(of: test).map { (test, $0) } }
        for (index, (test, size)) in plan.enumerated() {
            let parameters = BenchParameters(options, test, size: size, isLast: index == plan.count - 1)
            let channel = try EventChannel()
            let end = try connect(channel, host, options, parameters)
            var result = BenchResult(test: test, byteCount: size, iterations: parameters.iterations)
            let tick = parameters.usesEvents ? BenchTick() : nil
            if test.isLatency {
                result.microseconds = try end.runLatency()
            } else {
                (result.iterations, result.seconds) = try end.runBandwidth()
            }
            _ = consume tick
            report(result)
            end.identifier.disconnect()
            _ = try nextEvent(channel, [.disconnected], "the end of the connection")
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
        guard options.tests.contains(parameters.test) else {
            let own = options.tests.map(\.rawValue).joined(separator: " and ")
            throw BenchError("the client measures \(parameters.test.rawValue), this server \(own)")
        }
        var end = try BenchEnd(parameters, on: identifier, channel)
        end.peer = RemoteSlice(key: parameters.key, address: parameters.address)
        try end.postReceives(asServer: true)
        var answer = parameters
        (answer.key, answer.address) = (end.region.remoteKey, end.region.address)
        try identifier.accept(connectionParameters(answer))
        _ = try nextEvent(channel, [.established], "the client's confirmation")
        var progress = BenchProgress()
        if !parameters.test.isOneSided {
            let tick = parameters.usesEvents ? BenchTick() : nil
            if parameters.test.isLatency { try end.answerLatency(&progress) } else { try end.takeMessages(&progress) }
            _ = consume tick
        }
        if !progress.isPeerGone {
            _ = try nextEvent(channel, [.disconnected], "the end of the measurement", seconds: nil)
        }
        identifier.disconnect()
        return parameters.isLast
    }

    private static func connect(
        _ channel: EventChannel, _ host: String, _ options: BenchOptions, _ parameters: BenchParameters
    ) throws -> BenchEnd {
        let port = options.port
        let identifier = try ConnectionIdentifier(channel: channel)
        try identifier.resolveAddress(host: host, port: port, timeoutMilliseconds: 5000)
        _ = try nextEvent(channel, [.addressResolved], "\(host) to be found")
        try identifier.resolveRoute(timeoutMilliseconds: 5000)
        _ = try nextEvent(channel, [.routeResolved], "a way to \(host)")
        if let wanted = options.device, let name = identifier.context?.name, name != wanted {
            throw BenchError("\(host) is reached through the device \(name), not \(wanted)")
        }
        var end = try BenchEnd(parameters, on: identifier, channel)
        try end.postReceives(asServer: false)
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

    /// What a client hears that comes while another one is measured.
    static let busy = Array("it is busy with another client".utf8)

    /// Waits for one of some events; anything else is an error.
    private static func nextEvent(
        _ channel: EventChannel, _ kinds: [ConnectionEvent.Kind], _ what: String, seconds: Int32? = 20
    ) throws -> ConnectionEvent {
        while true {
            if let event = channel.next() {
                if kinds.contains(event.kind) { return event }
                if event.kind == .timeWaitEnded || event.kind == .disconnected { continue }
                if let request = event.request {
                    request.reject(privateData: busy)
                    continue
                }
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
