// One end of a transfer between two machines whose link loses, reorders, doubles or stops packets.
// tools/test-link runs a server and a client in a pair of guests and judges what they print.
//
// Usage: link-peer server|client [--sends N] [--netem "loss 1%"] [--peer-timeout MILLISECONDS] [--idle]
//                  [--cut-after N] [--cut-by "COMMAND"] [--die-after N] [--announce-after N]
//                  [--expect-end REASON] [--require COUNTER]... [--forbid COUNTER]...
import Glibc
import RDMATransport
import TransportTestSupport

/// Where the server listens, on the link of tools/rxe/run-pair.
let (serverHost, serverPort) = ("10.9.1.1", UInt16(7471))

do {
    let options = try LinkOptions(Array(CommandLine.arguments.dropFirst()))
    var configuration = FabricConfiguration.client
    if let milliseconds = options.peerTimeoutMilliseconds { configuration.peerTimeoutMilliseconds = milliseconds }
    let before = try DeviceCounters()
    let (driver, id) = try connect(options, configuration)
    let fabric = driver.fabrics[0]
    defer { fabric.shutdown() }
    try LinkEnd(fabric, id, options, peerTimeoutMilliseconds: configuration.peerTimeoutMilliseconds)
        .run(first: driver.seen[0])
    let counters = try DeviceCounters().since(before)
    say("\(options.role) counters: \(counters)")
    try counters.check(required: options.required, forbidden: options.forbidden)
    say("\(options.role) ok")
} catch {
    say("link-peer: \(error)")
    exit(1)
}

/// A fabric with its one connection, and what came with it: waits for the client, or for the server to listen.
func connect(
    _ options: LinkOptions, _ configuration: FabricConfiguration
) throws -> (Driver<VerbsFabric>, ConnectionID) {
    guard options.role == "client" else {
        let fabric = try VerbsFabric(listening: serverHost, port: serverPort, configuration: configuration)
        let driver = Driver(fabric)
        let id = try driver.waitRequest()
        try fabric.accept(id, privateData: [])
        _ = try driver.waitEstablished()
        return (driver, id)
    }
    let fabric = try VerbsFabric(towards: serverHost, port: serverPort, configuration: configuration)
    let driver = Driver(fabric)
    let deadline = monotonicNanoseconds() + 20_000_000_000
    while true {
        let id = try fabric.connect(host: serverHost, port: serverPort, privateData: [])
        let failure: ConnectFailure? = try driver.wait(for: "answer") { event -> ConnectFailure?? in
            switch event {
            case .established: .some(nil)
            case .rejected(_, let failure): .some(failure)
            default: nil
            }
        }
        guard let failure else { return (driver, id) }
        try expect(failure == .nobodyListens && monotonicNanoseconds() < deadline, "not connected: \(failure)")
    }
}
