package import RDMATransport

/// Something a scenario expected did not happen.
package struct ScenarioFailure: Error, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}

package func expect(_ condition: Bool, _ what: @autoclosure () -> String) throws {
    if !condition { throw ScenarioFailure(what()) }
}

/// Polls one or two fabrics of this process until something happened, with a watchdog instead of sleeps.
package final class Driver<F: Fabric> {
    package let fabrics: [F]
    /// Events seen and not asked for yet, per fabric.
    package var seen: [[FabricEvent]]

    package init(_ fabrics: F...) {
        self.fabrics = fabrics
        seen = fabrics.map { _ in [] }
    }

    package func turn() {
        for index in fabrics.indices {
            fabrics[index].flush()
            _ = fabrics[index].poll(into: &seen[index])
        }
    }

    /// Removes and returns the first event of `fabric` for which `match` gives a value.
    package func wait<T>(
        _ fabric: Int = 0, for what: String, seconds: Double = 20, _ match: (FabricEvent) -> T?
    ) throws -> T {
        let deadline = monotonicNanoseconds() + UInt64(seconds * 1e9)
        while true {
            for (position, event) in seen[fabric].enumerated() {
                if let value = match(event) {
                    seen[fabric].remove(at: position)
                    return value
                }
            }
            guard monotonicNanoseconds() < deadline else {
                throw ScenarioFailure("no \(what) within \(seconds) s; seen instead: \(seen)")
            }
            turn()
        }
    }

    package func waitMessage(_ fabric: Int = 0) throws -> (message: ReceivedMessage, bytes: [UInt8]) {
        let message = try wait(fabric, for: "message") { if case .received(let message) = $0 { message } else { nil } }
        return (message, unsafe Array(fabrics[fabric].bytes(of: message)))
    }

    package func waitCompletion(_ fabric: Int = 0, token: UInt64) throws -> TransferStatus {
        try wait(fabric, for: "completion of \(token)") {
            if case .completed(_, token, let status) = $0 { status } else { nil }
        }
    }

    package func waitDisconnect(_ fabric: Int = 0) throws -> DisconnectReason {
        try wait(fabric, for: "disconnect") { if case .disconnected(_, let reason) = $0 { reason } else { nil } }
    }

    package func waitRequest(_ fabric: Int = 0) throws -> ConnectionID {
        try wait(fabric, for: "connection request") { if case .requested(let id) = $0 { id } else { nil } }
    }

    package func waitEstablished(_ fabric: Int = 0) throws -> ConnectionID {
        let outcome: Result<ConnectionID, ScenarioFailure> = try wait(fabric, for: "established") { event in
            switch event {
            case .established(let id): return .success(id)
            case .rejected(_, let why):
                let detail = fabrics[fabric].lastError.map { ": \($0)" } ?? ""
                return .failure(ScenarioFailure("rejected: \(why)\(detail)"))
            default: return nil
            }
        }
        return try outcome.get()
    }

    /// Posts, waiting for room when there is none.
    package func post(_ fabric: Int = 0, _ body: (F) -> PostResult) throws {
        while true {
            let result = body(fabrics[fabric])
            if result == .posted { return }
            try expect(result == .full, "post answered \(result)")
            _ = try wait(fabric, for: "writable") { if case .writable = $0 { true } else { nil } }
        }
    }
}

package func send<F: Fabric>(_ bytes: [UInt8], on id: ConnectionID, of fabric: F) -> PostResult {
    unsafe fabric.send(on: id) { buffer in
        unsafe buffer.copyBytes(from: bytes)
        return bytes.count
    }
}

/// Bytes that differ at every place and with every seed.
package func pattern(_ count: Int, seed: UInt8) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) ^ seed }
}
