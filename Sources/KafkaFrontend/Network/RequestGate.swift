internal import NIOCore

/// Stops a connection before its next request while too many of all connections wait for the reactor.
struct RequestGate {
    /// The next request is not handled yet.
    private(set) var isShut = false
    private var nextIsShort = false
    /// Where this connection is called when there is room.
    private var awaited: RequestLane = []

    /// Whether the next request may be handled; when not, the connection is called once there is room. A short one of a
    /// client that waits for nothing else always may.
    /// - Parameters:
    ///   - isAlone: All requests before it are answered.
    ///   - connection: Whose it is.
    mutating func admits(
        _ next: FrameReceiver.Next, isAlone: Bool, of connection: UInt64, on loop: NetworkLoop
    ) -> Bool {
        nextIsShort = next.count <= RequestAccount.shortRequestBytes && !next.isProduce
        if nextIsShort, isAlone { return true }
        let lane: RequestLane = next.isProduce ? .batches : .requests
        let account = next.isProduce ? loop.queuedBatches : loop.queued
        if awaited.contains(lane) {
            isShut = account.isFull
        } else {
            isShut = !account.hasRoom {
                { [loop] in loop.eventLoop.execute { loop.roomIsThere(for: connection, lane) } }
            }
            if isShut { awaited.insert(lane) }
        }
        return !isShut
    }

    /// There is room.
    mutating func open(_ lane: RequestLane) {
        awaited.remove(lane)
        isShut = false
    }

    /// All requests before the next one are answered: it may pass if it is short.
    mutating func openToShort() {
        if nextIsShort { isShut = false }
    }
}

/// The accounts that a request may wait for.
struct RequestLane: OptionSet {
    let rawValue: UInt8
    static let requests = RequestLane(rawValue: 1), batches = RequestLane(rawValue: 2)
}
