internal import Synchronization

/// What an event loop has done for a listener.
/// - Threading: one loop adds, any thread reads.
final class NetworkCounters: Sendable {
    let sendfileBytes = Atomic<Int>(0)
    /// Read from files into memory to be sent: TLS, or without zero copy.
    let copiedToSendBytes = Atomic<Int>(0)
    /// Received where requests stay until they are handled.
    let receivedInPlaceBytes = Atomic<Int>(0)
    /// Copied to where requests stay.
    let copiedAtReceiveBytes = Atomic<Int>(0)
    let requests = Atomic<Int>(0)
    let connectionsAccepted = Atomic<Int>(0)
    let connectionsRefused = Atomic<Int>(0)
    /// Connections that ended for what came over them.
    let protocolErrors = Atomic<Int>(0)
    let authenticationFailures = Atomic<Int>(0)
    /// Connections that were silent too long, or held memory too long.
    let timeouts = Atomic<Int>(0)

    /// All of them, by name.
    var all: [(name: String, count: Int)] {
        [
            ("sendfile_bytes", sendfileBytes.load(ordering: .relaxed)),
            ("copied_to_send_bytes", copiedToSendBytes.load(ordering: .relaxed)),
            ("received_in_place_bytes", receivedInPlaceBytes.load(ordering: .relaxed)),
            ("copied_at_receive_bytes", copiedAtReceiveBytes.load(ordering: .relaxed)),
            ("requests", requests.load(ordering: .relaxed)),
            ("connections_accepted", connectionsAccepted.load(ordering: .relaxed)),
            ("connections_refused", connectionsRefused.load(ordering: .relaxed)),
            ("protocol_errors", protocolErrors.load(ordering: .relaxed)),
            ("authentication_failures", authenticationFailures.load(ordering: .relaxed)),
            ("timeouts", timeouts.load(ordering: .relaxed)),
        ]
    }
}

extension Atomic where Value == Int {
    /// Counts. Only the sum matters: no order with anything else.
    func count(_ more: Int = 1) { add(more, ordering: .relaxed) }
}
